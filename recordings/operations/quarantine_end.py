"""Destroys what lay in quarantine until the time to decide was over: key, bytes and name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit.events import Actor, EventType, FactValue, NewEvent, Target
from audit.operations import append_many
from recordings.models import QuarantinedItem
from recordings.objectstore import ObjectStore, StoreError

ACTOR = Actor.system("purge")
BATCH_SIZE = 500
# After so many items in a row that the store did not take, it is down.
OUTAGE_ITEMS = 3


@dataclass(slots=True)
class Ended:
    """How many items were destroyed, and how many are left for the next time."""

    destroyed: int = 0
    remaining: int = 0


@transaction.atomic
def move_deadline(*, item_id: UUID, decide_before: datetime) -> bool:
    """Let an item end at another time, as two persons decided. Returns whether it was waiting."""
    waiting = QuarantinedItem.objects.waiting().filter(pk=item_id)
    return bool(waiting.update(decide_before=decide_before))


def destroy_due(*, store: ObjectStore, clock: Callable[[], datetime]) -> Ended:
    """
    Destroy what waited until its time to decide was over, and finish what an earlier call began.

    Killed at any point, the next call finishes; two at once do no harm. Only what a listing no
    longer shows counts as gone. A restored backup needs no ledger of these: their time is over
    there as well.

    Raises StoreUnavailable or StoreRefused when the store is down: nothing is lost by it.
    """
    while _destroy_keys(now=clock()):
        pass
    ended, failures = Ended(), 0
    for item in QuarantinedItem.objects.going().order_by("key_destroyed_at", "pk"):
        try:
            versions = _delete(item, store)
        except StoreError:
            failures += 1
            ended.remaining += 1
            if failures >= OUTAGE_ITEMS:
                raise
            continue
        failures = 0
        if versions is None:
            ended.remaining += 1
        else:
            ended.destroyed += _conclude(item, versions=versions, now=clock())
    return ended


@transaction.atomic
def _destroy_keys(*, now: datetime) -> int:
    """Destroy the next keys. From here on nobody can read what lies in the store."""
    # Lock first, ask afterwards, as with conversations.
    proposed = QuarantinedItem.objects.due(at=now).order_by("decide_before", "pk")
    ids = list(proposed.values_list("pk", flat=True)[:BATCH_SIZE])
    rows = QuarantinedItem.objects.filter(pk__in=ids).order_by("pk")
    locked = list(rows.select_for_update(skip_locked=True).values_list("pk", flat=True))
    due = list(QuarantinedItem.objects.due(at=now).filter(pk__in=locked))
    QuarantinedItem.objects.filter(pk__in=[item.pk for item in due]).update(
        wrapped_key=None, kek_name="", sealed_name=b"", reason="", key_destroyed_at=now
    )
    append_many(
        events=[
            _event(EventType.QUARANTINE_ENDED, item, now, {"until": item.decide_before})
            for item in due
        ]
    )
    return len(due)


def _delete(item: QuarantinedItem, store: ObjectStore) -> int | None:
    """Delete every version under the key. Returns how many, or None if the store shows any yet."""
    found = [(each.key, each.version_id) for each in store.list_versions(prefix=item.object_key)]
    store.delete_versions(sorted({*found, (item.object_key, item.version_id)}))
    if any(True for _ in store.list_versions(prefix=item.object_key)):
        return None
    return len(found)


@transaction.atomic
def _conclude(item: QuarantinedItem, *, versions: int, now: datetime) -> int:
    concluded = QuarantinedItem.objects.going().filter(pk=item.pk).update(destroyed_at=now)
    if concluded:
        facts: dict[str, FactValue] = {"versions": versions, "bytes": item.size_bytes}
        append_many(events=[_event(EventType.QUARANTINE_DESTROYED, item, now, facts)])
    return concluded


def _event(
    event_type: EventType, item: QuarantinedItem, now: datetime, facts: dict[str, FactValue]
) -> NewEvent:
    return NewEvent(
        event_type=event_type,
        actor=ACTOR,
        now=now,
        log=item.controller_id,
        target=Target("quarantined", str(item.pk)),
        facts={"source": item.source_id, **facts},
    )
