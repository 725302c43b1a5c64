"""The object store fails, loses answers, hangs, lies and garbles: nothing is taken for gone."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

from django.db import connection

from audit import clock
from audit.models import Event
from bench.centre import Centre
from bench.measuring import Scale
from bench.streaming import captured, noise
from faults.company import NO_BRAKE, Company, is_all_gone, killables
from faults.outcome import Outcome
from faults.proxy import Proxy, Way, first, proxied, share
from recordings.encryption import ContentAltered
from recordings.models import Conversation, StoredObject
from recordings.objectstore import ObjectStore, StoreError, StoreUnavailable
from retention.models import Destruction, PurgeRun
from retention.operations.purge.run import PurgeStopped
from tests.harness.visitors import Visitor

ITEMS = {Scale.SMALL: 40, Scale.FULL: 500}
LISTENS = {Scale.SMALL: 20, Scale.FULL: 200}
BATCH_SIZE = 20
MOST_TRIES = 5
MOST_RUNS = 60
# The longest that a worker may be silent while the store hangs.
SILENT_SECONDS = 15.0
HANGS = 3


def run(centre: Centre, scale: Scale) -> Iterator[Outcome]:
    """Let the store do so, one way after another."""
    company = Company(centre)
    with proxied(company.stage.environment("purge")["S3_ENDPOINT_URL"]) as proxy:
        yield _fails(company, proxy, scale)
        yield _loses_answers(company, proxy, scale)
        yield _hangs(company, proxy)
        yield _lies(company, proxy, scale)
        yield _garbles(centre, company, proxy, scale)


def _fails(company: Company, proxy: Proxy, scale: Scale) -> Outcome:
    due = company.capture(ITEMS[scale])
    proxy.plan = share(0.3, Way.INTERNAL_ERROR, Way.SLOW_DOWN, chance=random.Random(9))
    before, runs, most_tries, too_early = proxy.faults.total(), 0, 0, 0
    checked: set[UUID] = set()
    while runs < MOST_RUNS:
        runs += 1
        proxy.repeated.clear()
        is_done = False
        with suppress(PurgeStopped):
            is_done = not company.purge_through(proxy.url, PURGE_BATCH_SIZE=BATCH_SIZE).postponed
        writes = [
            count
            for (operation, _path, _body), count in proxy.repeated.items()
            if operation in ("DeleteObjects", "PutObject")
        ]
        most_tries = max(most_tries, *writes, 0)
        for one in Conversation.objects.filter(
            pk__in=[one.pk for one in due], state="destroyed"
        ).exclude(pk__in=checked):
            checked.add(one.pk)
            too_early += bool(company.versions_of(one))
        if is_done:
            break
    account = company.account(due)
    return Outcome(
        "store_fails_for_30_percent",
        is_all_gone(account, of=len(due)) and most_tries <= MOST_TRIES and not too_early,
        {
            "items": len(due),
            "calls_failed": proxy.faults.total() - before,
            "most_tries_of_a_write": most_tries,
            "runs": runs,
            "gone_with_versions_left": too_early,
            **account,
        },
    )


def _loses_answers(company: Company, proxy: Proxy, scale: Scale) -> Outcome:
    chance = random.Random(10)
    proxy.plan = share(0.4, Way.LOSE, chance=chance, only=frozenset({"PutObject"}))
    lost_before, honest = proxy.faults[Way.LOSE], company.content
    with company.stage_through(proxy.url).acting_as("work"):
        company.content = ObjectStore.for_content()
    due: list[Conversation] = []
    while len(due) < ITEMS[scale]:
        with suppress(StoreError):
            due += company.capture(1)
    company.content = honest
    lost_puts = proxy.faults[Way.LOSE] - lost_before
    ids = [one.pk for one in due]
    known = set(StoredObject.objects.filter(conversation__in=ids).values_list("key", "version_id"))
    listed = [version for one in due for version in company.versions_of(one)]
    strays = sum((version.key, version.version_id) not in known for version in listed)
    proxy.plan = share(
        0.4,
        Way.LOSE,
        chance=chance,
        only=frozenset({"PutObject", "DeleteObjects", "ListObjectVersions"}),
    )
    for _ in range(MOST_RUNS):
        with suppress(PurgeStopped):
            if not company.purge_through(proxy.url, PURGE_BATCH_SIZE=BATCH_SIZE).postponed:
                break
    account = company.account(due)
    return Outcome(
        "store_loses_answers",
        is_all_gone(account, of=len(due)) and strays == 0 and len(listed) == len(known),
        {
            "items": len(due),
            "lost_puts": lost_puts,
            "lost_while_purging": proxy.faults[Way.LOSE] - lost_before - lost_puts,
            "strays_after_put": strays,
            **account,
        },
    )


def _hangs(company: Company, proxy: Proxy) -> Outcome:
    due = company.capture(3 * BATCH_SIZE)
    proxy.plan = first(Way.HANG, "ListObjectVersions", times=HANGS)
    silent, stop = [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            newest = PurgeRun.objects.filter(state="running").order_by("-started_at").first()
            if newest is not None:
                silent[0] = max(silent[0], (clock.now() - newest.heartbeat_at).total_seconds())
        connection.close()

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    with killables(company) as (killable,):
        killable.start(
            database_url=company.url,
            settings={
                "S3_ENDPOINT_URL": proxy.url,
                "PURGE_BATCH_SIZE": BATCH_SIZE,
                **NO_BRAKE,
            },
        )
        killable.wait()
    spent = time.monotonic() - began
    stop.set()
    watcher.join()
    destroyed_on_paper = Destruction.objects.filter(
        conversation__in=[one.pk for one in due], concluded_at__isnull=False
    ).count()
    company.finish()
    account = company.account(due)
    return Outcome(
        "store_hangs",
        is_all_gone(account, of=len(due))
        and silent[0] <= SILENT_SECONDS
        and destroyed_on_paper == 0,
        {
            "items": len(due),
            "hanging_calls": HANGS,
            "longest_silence_s": round(silent[0], 1),
            "run_s": round(spent, 1),
            "destroyed_on_paper": destroyed_on_paper,
            **account,
        },
    )


def _lies(company: Company, proxy: Proxy, scale: Scale) -> Outcome:
    due = company.capture(ITEMS[scale])
    ids = [one.pk for one in due]
    proxy.plan = share(0.5, Way.LIE, chance=random.Random(12), only=frozenset({"DeleteObjects"}))
    lies_before = proxy.faults[Way.LIE]
    company.purge_through(proxy.url, PURGE_BATCH_SIZE=BATCH_SIZE)
    lines = Destruction.objects.filter(conversation__in=ids)
    believed = sum(
        bool(company.versions_of(line.conversation))
        for line in lines.filter(concluded_at__isnull=False).select_related("conversation")
    )
    told = lines.filter(problem__contains="still in the store").count()
    lied_about = sum(bool(company.versions_of(one)) for one in due)
    # Their next try is in a minute; it is had at once.
    lines.open().update(next_try_at=None)
    company.finish()
    account = company.account(due)
    return Outcome(
        "store_lies",
        is_all_gone(account, of=len(due)) and believed == 0 and told == lied_about > 0,
        {
            "items": len(due),
            "lies": proxy.faults[Way.LIE] - lies_before,
            "lied_about": lied_about,
            "said_to_be_there": told,
            "believed": believed,
            **account,
        },
    )


def _garbles(centre: Centre, company: Company, proxy: Proxy, scale: Scale) -> Outcome:
    """Answers to a listener's reads are cut or altered: half of them once, the others always."""
    body = noise()
    with centre.stage.acting_as("work"):
        dialog = captured(centre, body).dialogs.get()
    visitor = Visitor(company.stage_through(proxy.url), centre.reader_of_five)
    incidents = Event.objects.filter(event_type="incident.raised")
    incidents_before = incidents.count()
    chance, wrong, statuses = random.Random(14), 0, Counter[str]()
    logging.disable(logging.ERROR)
    for number in range(LISTENS[scale]):
        way = chance.choice([Way.TRUNCATE, Way.CORRUPT])
        is_lasting = number % 2 == 1
        proxy.plan = first(way, "GetObject", times=99 if is_lasting else 1)
        begin = chance.randrange(len(body))
        when = "lasting" if is_lasting else "once"
        try:
            answer = visitor.listen(dialog.pk, bytes_range=f"bytes={begin}-")
        except (ContentAltered, StoreUnavailable):
            statuses[f"{when}_broken_off"] += 1
            continue
        heard = answer.body if answer.status == 206 else b""
        wrong += not body[begin:].startswith(heard)
        statuses[f"{when}_answered_{answer.status}"] += 1
    proxy.plan = lambda _asked: None
    logging.disable(logging.NOTSET)
    return Outcome(
        "store_garbles_reads",
        wrong == 0
        and incidents.count() > incidents_before
        and statuses["once_answered_206"] == (LISTENS[scale] + 1) // 2,
        {
            "listens": LISTENS[scale],
            "wrong": wrong,
            "incidents": incidents.count() - incidents_before,
            **statuses,
        },
    )
