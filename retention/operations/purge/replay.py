"""Destroys again, in a database that was restored from a backup, what the ledger names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction
from uuid_utils.compat import uuid7

from audit.events import Actor, EventType, Target
from audit.operations import append
from recordings.models import Conversation
from recordings.objectstore import ObjectStore, Version
from recordings.operations import lifecycle
from retention import ledger
from retention.ledger import Entry, Named
from retention.models import Destruction, LedgerEntry, PurgeRun
from retention.operations import opening
from retention.operations.purge.deletion import AFTER_EVERY_KEY
from retention.operations.purge.leases import Clock
from retention.operations.purge.run import finish
from retention.operations.purge.steps import rule_versions

ACTOR = Actor.system("replay")


@dataclass(slots=True)
class Replayed:
    """What one call did: entries and conversations by what became of them."""

    run_id: UUID | None = None
    entries: int = 0
    named: int = 0
    # Captured after the backup: there is nothing here to destroy.
    never_known: int = 0
    destroyed_before: int = 0
    destroyed_again: int = 0
    # Rows and store say otherwise than the ledger: closed, and for somebody to decide.
    contradicted: list[UUID] = field(default_factory=list)
    to_be_tried_again: int = 0
    need_person: int = 0


def replay(
    *,
    reader: ObjectStore,
    content: ObjectStore,
    anchor: ObjectStore,
    clock: Clock,
    believed: Collection[UUID] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Replayed:
    """
    Destroy again whatever the ledger names and the database still has a key of, then delete it.

    Safe to repeat, in two processes at once too; killed at any point, the next call goes on. An
    entry counts as taken account of when all that it names has been deleted or needs a person.
    What the rows say is still to be kept is believed of the ledger only if the store has nothing
    of it any more, or it is among `believed`; held it stays. It is closed meanwhile.

    Raises PurgeStopped, LedgerUnreadable, StoreUnavailable, StoreRefused.
    """
    done = Replayed()
    versions = list(_to_be_read(reader, believed))
    contradicted: dict[str, list[UUID]] = {}
    for at, version in enumerate(versions):
        entry = ledger.read(reader, version)
        contradicted[entry.key] = _replay(
            entry, content=content, clock=clock, believed=believed, done=done
        )
        progress(at + 1, len(versions))
    tally = finish(content=content, anchor=anchor, clock=clock)
    done.need_person = tally.need_person
    done.to_be_tried_again = _settle(contradicted, now=clock())
    if done.entries:
        _say(done, now=clock())
    return done


def _to_be_read(reader: ObjectStore, believed: Collection[UUID]) -> Iterator[Version]:
    newest = opening.newest_known()
    found = list(ledger.listed(reader, after=newest or None))
    yield from opening.unknown(found)
    if believed:
        again = LedgerEntry.objects.filter(contradicted__overlap=list(believed))
        keys = set(again.values_list("key", flat=True))
        everything = ledger.listed(reader, after=None)
        yield from (version for version in everything if version.key in keys)


def _replay(
    entry: Entry,
    *,
    content: ObjectStore,
    clock: Clock,
    believed: Collection[UUID],
    done: Replayed,
) -> list[UUID]:
    done.entries += 1
    done.named += len(entry.named)
    size = settings.PURGE_BATCH_SIZE
    contradicted: list[UUID] = []
    for at in range(0, len(entry.named), size):
        contradicted += _destroy_again(
            entry.named[at : at + size],
            key=entry.key,
            content=content,
            believed=believed,
            now=clock(),
            done=done,
        )
    done.contradicted += contradicted
    return contradicted


def _destroy_again(
    named: Sequence[Named],
    *,
    key: str,
    content: ObjectStore,
    believed: Collection[UUID],
    now: datetime,
    done: Replayed,
) -> list[UUID]:
    """Destroy the keys of those that are to go. Returns those that rows and store contradict."""
    destroyed_at = {each.conversation_id: each.key_destroyed_at for each in named}
    known = Conversation.objects.filter(pk__in=list(destroyed_at))
    # The store is asked before any row is locked.
    gone = {
        row.pk
        for row in known.filter(key_destroyed_at=None)
        if not _was_due(row, at=destroyed_at[row.pk]) and not _has_objects(content, row)
    }
    with transaction.atomic():
        lifecycle.lock(conversation_ids=list(destroyed_at))
        rows = list(known.all())
        with_key = [row for row in rows if row.key_destroyed_at is None]
        agreed = [
            row.pk
            for row in with_key
            if not row.hold_count
            and (row.pk in gone or row.pk in believed or _was_due(row, at=destroyed_at[row.pk]))
        ]
        contradicted = sorted({row.pk for row in with_key} - set(agreed))
        lifecycle.close(conversation_ids=contradicted, actor=ACTOR, now=now)
        done.never_known += len(named) - len(rows)
        done.destroyed_before += len(rows) - len(with_key)
        done.destroyed_again += _begin(agreed, destroyed_at, key=key, now=now, done=done)
    return contradicted


def _was_due(row: Conversation, *, at: datetime) -> bool:
    """Whether its own row says that it could be destroyed when the ledger says it was."""
    return bool(
        row.destroy_after is not None
        and row.destroy_after <= at
        and not row.hold_count
        and not row.open_requests
    )


def _has_objects(content: ObjectStore, row: Conversation) -> bool:
    folder = f"{row.ended_at.astimezone(UTC):%Y/%m/%d}/{row.pk}/"
    listed = content.list_versions(
        prefix=folder, from_key=folder, until_key=f"{folder}{AFTER_EVERY_KEY}"
    )
    return any(not found.is_delete_marker for found in listed)


def _begin(
    ids: Sequence[UUID],
    destroyed_at: dict[UUID, datetime],
    *,
    key: str,
    now: datetime,
    done: Replayed,
) -> int:
    """Destroy the keys, and begin certificate lines that name the entry; `finish` does the rest."""
    if not ids:
        return 0
    run = _run_of(done, now=now)
    rules = rule_versions(ids)
    begun = Destruction.objects.open().filter(conversation__in=ids)
    run_of = dict.fromkeys(ids, run.pk) | dict(begun.values_list("conversation_id", "run_id"))
    rows = lifecycle.destroy_again(run_of=run_of, actor=ACTOR, now=now)
    # What the backup has as withdrawn already has its line.
    begun.update(key_destroyed_at=now, ledger_key=key)
    Destruction.objects.bulk_create(
        Destruction(
            run=run,
            conversation_id=row.pk,
            controller_id=row.controller_id,
            kind=row.kind,
            ended_at=row.ended_at,
            # By then its time had ended, whatever the backup says.
            destroy_after=min(filter(None, (row.destroy_after, destroyed_at[row.pk]))),
            rule_versions=rules[row.pk],
            withdrawn_at=now,
            key_destroyed_at=now,
            ledger_key=key,
        )
        for row in rows
        if run_of[row.pk] == run.pk
    )
    return len(rows)


def _run_of(done: Replayed, *, now: datetime) -> PurgeRun:
    if done.run_id is not None:
        return PurgeRun.objects.get(pk=done.run_id)
    run = PurgeRun(id=uuid7(), actor=ACTOR.reference, started_at=now, heartbeat_at=now)
    run.save(force_insert=True)
    done.run_id = run.pk
    append(
        event_type=EventType.PURGE_RUN_STARTED,
        actor=ACTOR,
        now=now,
        log=None,
        target=Target("purge_run", str(run.pk)),
        facts={"reason": lifecycle.LEDGER},
    )
    return run


def _settle(contradicted: dict[str, list[UUID]], *, now: datetime) -> int:
    """Take account of the entries that are done with. Returns how many destructions still wait."""
    waiting = Destruction.objects.open().filter(needs_person_at=None)
    of_entry = Counter(waiting.exclude(ledger_key="").values_list("ledger_key", flat=True))
    for key in contradicted.keys() - of_entry.keys():
        LedgerEntry.objects.bulk_create([LedgerEntry(key=key, noted_at=now)], ignore_conflicts=True)
        LedgerEntry.objects.filter(key=key).update(contradicted=contradicted[key])
    return sum(of_entry[key] for key in contradicted)


@transaction.atomic
def _say(done: Replayed, *, now: datetime) -> None:
    append(
        event_type=EventType.LEDGER_REPLAYED,
        actor=ACTOR,
        now=now,
        log=None,
        facts={
            "count": done.entries,
            "destroyed": done.destroyed_again,
            "failed": done.to_be_tried_again + len(done.contradicted),
            "need_person": done.need_person,
        },
    )
