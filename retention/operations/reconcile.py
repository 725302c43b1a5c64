"""Compares the database with the store, and both with what should be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Collate

from audit.events import Actor, EventType, Outcome
from audit.operations import append
from audit.queries import partition_faults
from recordings.models import Conversation, QuarantinedItem, StoredObject
from recordings.objectstore import ObjectStore, Version
from retention.attention import Asked, needs
from retention.models import Destruction
from retention.operations import mirror

ACTOR = Actor.system("reconcile")
# An object is put before its row is committed, and deleted before its row is: so long it is given.
SETTLES_SECONDS = 3600


@dataclass(slots=True)
class Findings:
    """
    What does not fit. Everything here needs a person, or the next run of something that is stuck.

    `not_asked` names comparisons this process has no access for: they count as neither.
    `attention` counts by kind what `retention.attention` finds; `uncovered`, `overdue` and `stuck`
    name the conversations among it.
    """

    rows_without_objects: list[str] = field(default_factory=list)
    objects_without_rows: list[str] = field(default_factory=list)
    holds_that_differ: list[str] = field(default_factory=list)
    uncovered: list[UUID] = field(default_factory=list)
    overdue: list[UUID] = field(default_factory=list)
    stuck: list[UUID] = field(default_factory=list)
    attention: dict[str, int] = field(default_factory=dict)
    events_misplaced: int = 0
    repaired: int = 0
    not_asked: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """How many there are."""
        return (
            len(self.rows_without_objects)
            + len(self.objects_without_rows)
            + len(self.holds_that_differ)
            + sum(self.attention.values())
            + self.events_misplaced
        )


def reconcile(
    *,
    listing: ObjectStore | None,
    content: ObjectStore | None,
    now: datetime,
    repairs: bool = False,
) -> Findings:
    """
    Look for everything that does not fit.

    `listing` is the store as an identity that may list, `content` as one that may read legal
    holds; without one its comparison is left out, and said to be. With `repairs`, legal holds
    that differ are told to the store again.

    Raises StoreUnavailable, StoreRefused.
    """
    findings = Findings()
    if listing is None:
        findings.not_asked.append("objects")
    else:
        _compare_objects(listing, findings, now=now)
    if content is None:
        findings.not_asked.append("legal_holds")
        findings.holds_that_differ = [row.key for row in mirror.pending()]
    else:
        _compare_holds(content, findings, now=now, repairs=repairs)
    _look_for_overdue(findings, now=now)
    findings.events_misplaced = sum(fault.events for fault in partition_faults(months_ahead=1))
    _append(findings, now=now)
    return findings


def _compare_objects(store: ObjectStore, findings: Findings, *, now: datetime) -> None:
    """Walk the listing and the rows together, both in the order of keys."""
    settled_before = now - timedelta(seconds=SETTLES_SECONDS)
    rows = _rows()
    listed = _listed(store)
    row, found = next(rows, None), next(listed, None)
    while row is not None or found is not None:
        if row is not None and (found is None or row < found):
            findings.rows_without_objects.append(row.key)
            row = next(rows, None)
        elif found is not None and (row is None or found < row):
            if _made_at(found.key) < settled_before:
                findings.objects_without_rows.append(found.key)
            found = next(listed, None)
        else:
            row, found = next(rows, None), next(listed, None)
    findings.rows_without_objects = _still_there(findings.rows_without_objects)
    findings.objects_without_rows = _not_going(findings.objects_without_rows)


def _rows() -> Iterator[Version]:
    """Every stored version that a row knows of, in the order of keys."""
    # The store orders keys by their bytes; so does the collation "C".
    stored = (
        StoredObject.objects.exclude(conversation__state=Conversation.State.WITHDRAWN)
        .order_by(Collate("key", "C"), Collate("version_id", "C"))
        .values_list("key", "version_id")
    )
    yield from (Version(*each) for each in stored.iterator(chunk_size=2000))
    waiting = QuarantinedItem.objects.waiting().values_list("object_key", "version_id")
    yield from (Version(*each) for each in sorted(waiting))


def _listed(store: ObjectStore) -> Iterator[Version]:
    """Every version and delete marker of the store, in the order of keys."""
    same_key: list[Version] = []
    for found in store.list_versions():
        if same_key and same_key[0].key != found.key:
            yield from sorted(same_key)
            same_key = []
        same_key.append(Version(found.key, found.version_id))
    yield from sorted(same_key)


def _made_at(key: str) -> datetime:
    """When the object's id was made: it is a UUIDv7, which begins with the time."""
    made = _uuid(key.rsplit("/", 1)[-1])
    if made is None or made.version != 7:
        return datetime.min.replace(tzinfo=UTC)
    return datetime.fromtimestamp((made.int >> 80) / 1000, tz=UTC)


def _not_going(keys: list[str]) -> list[str]:
    """Those that do not belong to what is being destroyed at this moment."""
    going = set(Destruction.objects.open().values_list("conversation_id", flat=True))
    items = set(QuarantinedItem.objects.going().values_list("object_key", flat=True))
    return [
        key for key in keys if key not in items and _uuid(key.rsplit("/", 2)[-2:][0]) not in going
    ]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _still_there(keys: list[str]) -> list[str]:
    """Those whose rows are there still, so that what a purge concluded meanwhile is not named."""
    stored = set(
        StoredObject.objects.filter(key__in=keys)
        .exclude(conversation__state=Conversation.State.WITHDRAWN)
        .values_list("key", flat=True)
    )
    waiting = set(
        QuarantinedItem.objects.waiting()
        .filter(object_key__in=keys)
        .values_list("object_key", flat=True)
    )
    return [key for key in keys if key in stored | waiting]


def _compare_holds(store: ObjectStore, findings: Findings, *, now: datetime, repairs: bool) -> None:
    differing = mirror.differing(store=store)
    if repairs:
        mirror.repair(store=store, versions=differing, now=now)
        findings.repaired = len(differing)
    else:
        findings.holds_that_differ = [row.key for row in differing]


def _look_for_overdue(findings: Findings, *, now: datetime) -> None:
    asked = Asked(now)
    findings.attention = {need.kind.code: need.found.count for need in needs(asked)}
    late = asked.purged_until
    findings.uncovered = list(Conversation.objects.uncovered().values_list("pk", flat=True))
    findings.overdue = list(
        Conversation.objects.due(at=now)
        .filter(destroy_after__lte=late)
        .values_list("pk", flat=True)
    )
    begun = Destruction.objects.open()
    findings.stuck = list(
        (begun.filter(needs_person_at__isnull=False) | begun.filter(withdrawn_at__lte=late))
        .order_by("withdrawn_at")
        .values_list("conversation_id", flat=True)
    )


@transaction.atomic
def _append(findings: Findings, *, now: datetime) -> None:
    append(
        event_type=EventType.STORE_RECONCILED,
        actor=ACTOR,
        now=now,
        log=None,
        outcome=Outcome.ERROR if findings.faults else Outcome.ALLOW,
        facts={"faults": findings.faults},
    )
