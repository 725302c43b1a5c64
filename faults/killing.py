"""Purges are killed at every moment, frozen, run at once, poisoned: each item goes once."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from functools import partial

from django.db.models import Max

from audit import clock
from bench.centre import Centre
from bench.measuring import Scale
from faults.company import (
    NO_BRAKE,
    Company,
    has_ended,
    is_all_gone,
    kill,
    killables,
    wait_until,
)
from faults.outcome import Outcome
from recordings.models import Conversation
from retention.models import Destruction
from retention.operations.purge import leases
from retention.operations.purge.worker import ACTOR
from tests.harness.worker import ring, working

ITEMS = {Scale.SMALL: 60, Scale.FULL: 500}
KILLS = {Scale.SMALL: 10, Scale.FULL: 50}
WORKER_KILLS = {Scale.SMALL: 3, Scale.FULL: 20}
BATCH = {"PURGE_BATCH_SIZE": 5, **NO_BRAKE}
TASK = "retention.tasks.purge"
TAKEN_OVER_SECONDS = 60.0
POISON_ATTEMPTS = 3
WORKERS = 4


def run(centre: Centre, scale: Scale) -> Iterator[Outcome]:
    """Break purges, one way after another."""
    company = Company(centre)
    yield _killed_at_random(company, scale)
    yield _killed_between_key_and_delete(company, scale)
    yield _killed_between_delete_and_commit(company, scale)
    yield _worker_killed(company, scale)
    yield _all_at_once(company, scale)
    yield _frozen(company)
    for deed in ("kill", "exhaust", "loop"):
        yield _poisoned(company, scale, deed)


def _killed_at_random(company: Company, scale: Scale) -> Outcome:
    due = company.capture(ITEMS[scale])
    chance, kills = random.Random(1), 0
    with killables(company) as (killable,):
        while kills < KILLS[scale]:
            token = _newest_token(due)
            child = killable.start(database_url=company.url, settings=BATCH)
            # At a random moment after it has begun to work.
            wait_until(partial(_has_begun, child, due, token))
            time.sleep(chance.uniform(0.0, 0.3))
            kill(child)
            if killable.wait() == -signal.SIGKILL:
                kills += 1
            else:
                due += company.capture(ITEMS[scale] // 5)
    unfinished = Conversation.objects.filter(
        pk__in=[one.pk for one in due], state__in=("kept", "withdrawn")
    ).count()
    company.finish()
    account = company.account(due)
    return Outcome(
        "purge_killed_at_random",
        is_all_gone(account, of=len(due)) and unfinished > 0,
        {"items": len(due), "kills": kills, "left_by_the_last": unfinished, **account},
    )


def _has_begun(child: int, due: list[Conversation], token: int) -> bool:
    return has_ended(child) or _newest_token(due) > token


def _newest_token(due: list[Conversation]) -> int:
    lines = Destruction.objects.filter(conversation__in=[one.pk for one in due])
    return lines.aggregate(newest=Max("lease_token"))["newest"] or 0


def _killed_between_key_and_delete(company: Company, scale: Scale) -> Outcome:
    due = company.capture(KILLS[scale])
    ids = [one.pk for one in due]
    with killables(company) as (killable,):
        killable.start(
            database_url=company.url,
            settings=NO_BRAKE,
            at={"where": "retention.operations.purge.run:steps.destroy_keys", "when": "after"},
        )
        killable.wait()
    rows = Conversation.objects.filter(pk__in=ids)
    unreadable = rows.filter(wrapped_key=None).count()
    shown_as_kept = rows.filter(state="kept").count()
    still_there = sum(len(company.versions_of(one)) for one in due)
    company.finish()
    account = company.account(due)
    return Outcome(
        "purge_killed_between_key_and_delete",
        is_all_gone(account, of=len(due))
        and (unreadable, shown_as_kept, still_there) == (len(due), 0, 2 * len(due)),
        {
            "items": len(due),
            "unreadable_at_once": unreadable,
            "shown_as_kept": shown_as_kept,
            "versions_then": still_there,
            **account,
        },
    )


def _killed_between_delete_and_commit(company: Company, scale: Scale) -> Outcome:
    due = company.capture(KILLS[scale])
    with killables(company) as (killable,):
        killable.start(
            database_url=company.url,
            settings=NO_BRAKE,
            at={"where": "recordings.operations.lifecycle:conclude", "when": "after"},
        )
        killable.wait()
    versions = sum(len(company.versions_of(one)) for one in due)
    concluded = Destruction.objects.filter(
        conversation__in=[one.pk for one in due], concluded_at__isnull=False
    ).count()
    company.finish()
    account = company.account(due)
    return Outcome(
        "purge_killed_between_delete_and_commit",
        is_all_gone(account, of=len(due)) and (versions, concluded) == (0, 0),
        {"items": len(due), "versions_then": versions, "concluded_then": concluded, **account},
    )


def _worker_killed(company: Company, scale: Scale) -> Outcome:
    due = company.capture(ITEMS[scale])
    ids = [one.pk for one in due]
    chance, slowest, kills = random.Random(2), 0.0, 0
    told = {name: str(value) for name, value in BATCH.items()}
    waiting: Sequence[tuple[object, int]] = []
    killed_at = 0.0
    while kills < WORKER_KILLS[scale]:
        if Conversation.objects.filter(pk__in=ids, state="kept").count() < ITEMS[scale] // 4:
            more = company.capture(ITEMS[scale] // 2)
            due += more
            ids += [one.pk for one in more]
        with working(company.stage, "purge", **told) as worker:
            ring(TASK)
            if waiting:
                wait_until(partial(_taken_over, waiting))
                slowest = max(slowest, time.monotonic() - killed_at)
            else:
                wait_until(Destruction.objects.filter(conversation__in=ids).exists)
            time.sleep(chance.uniform(0.0, 1.0))
            worker.kill()
        killed_at = time.monotonic()
        waiting = list(
            Destruction.objects.open()
            .filter(conversation__in=ids, leased_until__isnull=False)
            .values_list("pk", "lease_token")
        )
        kills += bool(waiting)
    company.finish()
    account = company.account(due)
    return Outcome(
        "worker_killed",
        is_all_gone(account, of=len(due)) and slowest <= TAKEN_OVER_SECONDS,
        {
            "items": len(due),
            "kills_with_leases": kills,
            "slowest_take_over_s": round(slowest, 1),
            **account,
        },
    )


def _taken_over(held: Sequence[tuple[object, int]]) -> bool:
    """Whether none of these is under its old lease any more."""
    tokens = dict(held)
    now = Destruction.objects.open().filter(pk__in=list(tokens)).values_list("pk", "lease_token")
    return all(tokens[pk] != token for pk, token in now)


def _all_at_once(company: Company, scale: Scale) -> Outcome:
    """Four workers, each rung by two schedulers."""
    due = company.capture(ITEMS[scale])
    codes: list[int] = []
    with killables(company, WORKERS) as made:
        for _scheduler in range(2):
            for each in made:
                each.start(database_url=company.url, settings=BATCH)
            codes = [each.wait() for each in made]
    busy = (
        Destruction.objects.filter(conversation__in=[one.pk for one in due])
        .order_by()
        .values("lease_token")
        .distinct()
        .count()
    )
    company.finish()
    account = company.account(due)
    return Outcome(
        "two_schedulers_four_workers",
        is_all_gone(account, of=len(due)) and not any(codes) and busy > 1,
        {"items": len(due), "workers": WORKERS, "workers_that_took_some": busy, **account},
    )


def _frozen(company: Company) -> Outcome:
    """A worker is stopped until its lease is over and its work done, and wakes up."""
    due = company.capture(20)
    ids = [one.pk for one in due]
    with killables(company) as (killable,):
        frozen = killable.start(
            database_url=company.url,
            settings={"PURGE_LEASE_SECONDS": 1, **NO_BRAKE},
            at={
                "where": "retention.operations.purge.run:steps.write_ledger",
                "when": "after",
                "deed": "stop",
            },
        )
        open_ones = Destruction.objects.filter(conversation__in=ids).exclude(ledger_key="")
        wait_until(lambda: open_ones.count() == len(due))
        wait_until(
            lambda: (
                not Destruction.objects.filter(
                    conversation__in=ids, leased_until__gt=clock.now()
                ).exists()
            )
        )
        taken_over = company.purge().destroyed
        os.kill(frozen, signal.SIGCONT)
        killable.wait()
    company.finish()
    account = company.account(due)
    return Outcome(
        "frozen_worker_wakes_up",
        is_all_gone(account, of=len(due)) and taken_over == len(due),
        {"items": len(due), "taken_over": taken_over, **account},
    )


def _poisoned(company: Company, scale: Scale, deed: str) -> Outcome:
    """One item ends, fills or holds up whoever concludes it."""
    due = company.capture(ITEMS[scale])
    poison = due[len(due) // 3]
    runs = 0
    with killables(company) as (killable,):
        while runs < 2 * POISON_ATTEMPTS:
            runs += 1
            killable.start(
                database_url=company.url,
                settings={
                    "PURGE_BATCH_SIZE": 50,
                    "PURGE_LEASE_SECONDS": 3 if deed == "loop" else 120,
                    **NO_BRAKE,
                },
                at={
                    "where": "recordings.operations.lifecycle:conclude",
                    "when": "before",
                    "deed": deed,
                    "about": str(poison.pk),
                },
            )
            if killable.wait() == 0:
                break
    line = Destruction.objects.get(conversation=poison)
    account = company.account([one for one in due if one != poison])
    kept = (
        is_all_gone(account, of=len(due) - 1)
        and line.attempts <= POISON_ATTEMPTS
        and line.needs_person_at is not None
        and line.concluded_at is None
    )
    outcome = Outcome(
        f"poison_{deed}",
        kept,
        {
            "items": len(due),
            "runs": runs,
            "attempts": line.attempts,
            "needs_person": int(line.needs_person_at is not None),
            **account,
        },
    )
    _let_go(company, poison)
    return outcome


def _let_go(company: Company, poison: Conversation) -> None:
    """What is no poison to others is destroyed after all, so that nothing is left open."""
    leases.try_again(conversation_ids=[poison.pk], actor=ACTOR, now=clock.now())
    company.finish()
