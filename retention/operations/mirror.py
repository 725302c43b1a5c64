"""Carries holds over to the store, as S3 legal holds on every stored version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from celery import current_app
from django.db import connection, transaction
from django.db.models import Case, F, Q, QuerySet, Value, When

from audit.events import Actor, EventType, NewEvent, Target
from audit.operations import append_many
from recordings.models import Conversation, StoredObject
from recordings.objectstore import ObjectMissing, ObjectStore

ACTOR = Actor.system("mirror")
TASK = "retention.tasks.mirror_holds"
# How many conversations one task carries over.
TASK_CONVERSATIONS = 200
# Our advisory lock in PostgreSQL: one mirror at a time, or an earlier answer could come last.
_LOCK = 0x4D49


class MirrorBusy(Exception):
    """Another process is carrying holds over; what is pending is taken by it or by the next."""


def pending() -> QuerySet[StoredObject]:
    """The stored versions of which the store was last told something else than is so now."""
    return (
        StoredObject.objects.exclude(conversation__state=Conversation.State.DESTROYED)
        .annotate(
            is_held=Case(
                When(conversation__hold_count__gt=0, then=Value(True)), default=Value(False)
            )
        )
        .exclude(legal_hold=F("is_held"))
        .order_by("conversation_id", "key")
    )


def request(*, conversation_ids: Sequence[UUID]) -> None:
    """
    Have the holds of these conversations carried over once this transaction is committed.

    A broker that is down takes nothing away: what is pending stands in the rows, and the sweep
    finds it.
    """
    ids = [str(pk) for pk in conversation_ids]

    def ring() -> None:
        for start in range(0, len(ids), TASK_CONVERSATIONS):
            some = ids[start : start + TASK_CONVERSATIONS]
            current_app.send_task(TASK, kwargs={"conversation_ids": some})

    transaction.on_commit(ring, robust=True)


def mirror_holds(
    *, store: ObjectStore, now: datetime, conversation_ids: Sequence[UUID] | None = None
) -> int:
    """
    Tell the store what is pending, for these conversations or for all. Returns how many versions.

    Raises:
        MirrorBusy: another process does so at this moment.
        StoreUnavailable, StoreRefused: what was told before is kept; the rest stays pending.
    """
    versions = pending()
    if conversation_ids is not None:
        versions = versions.filter(conversation__in=conversation_ids)
    # Held for the session, not for a transaction: none is open while the store is spoken to.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, 0)", [_LOCK])
        (is_ours,) = cursor.fetchone()
    if not is_ours:
        raise MirrorBusy
    try:
        by_conversation: dict[UUID, list[StoredObject]] = defaultdict(list)
        for version in versions.select_related("conversation"):
            by_conversation[version.conversation_id].append(version)
        for found in by_conversation.values():
            _mirror(store=store, versions=found, now=now)
        return sum(len(found) for found in by_conversation.values())
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, 0)", [_LOCK])


def _mirror(*, store: ObjectStore, versions: Sequence[StoredObject], now: datetime) -> None:
    """Tell the store of one conversation's versions, then note what it was told."""
    conversation = versions[0].conversation
    is_held = conversation.hold_count > 0
    told = []
    for version in versions:
        try:
            store.put_legal_hold(version.key, version.version_id, is_held=is_held)
        except ObjectMissing:
            # `reconcile` says so: there is nothing left to protect.
            continue
        told.append(version.pk)
    with transaction.atomic():
        StoredObject.objects.filter(pk__in=told).update(legal_hold=is_held)
        append_many(
            events=[
                NewEvent(
                    event_type=EventType.HOLD_MIRRORED,
                    actor=ACTOR,
                    now=now,
                    log=conversation.controller_id,
                    target=Target("conversation", str(conversation.pk)),
                    facts={
                        "versions": len(told),
                        "state": "held" if is_held else "lifted",
                    },
                )
            ]
            if told
            else []
        )


def differing(*, store: ObjectStore) -> list[StoredObject]:
    """
    The stored versions whose legal hold, as the store says itself, is not what it should be.

    Asks the store once for each version of what is held, or was as far as we know.
    """
    asked = (
        StoredObject.objects.filter(Q(legal_hold=True) | Q(conversation__hold_count__gt=0))
        .exclude(conversation__state=Conversation.State.DESTROYED)
        .select_related("conversation")
    )
    found = []
    for version in asked.iterator(chunk_size=500):
        try:
            is_held = store.get_legal_hold(version.key, version.version_id)
        except ObjectMissing:
            continue
        if is_held != (version.conversation.hold_count > 0):
            found.append(version)
    return found


def repair(*, store: ObjectStore, versions: Sequence[StoredObject], now: datetime) -> None:
    """Tell the store again what it says differently."""
    by_conversation: dict[UUID, list[StoredObject]] = defaultdict(list)
    for version in versions:
        by_conversation[version.conversation_id].append(version)
    for found in by_conversation.values():
        _mirror(store=store, versions=found, now=now)
