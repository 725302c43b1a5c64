"""Questions to the audit log."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import BooleanField, Q, QuerySet
from django.db.models.expressions import RawSQL

from audit.events import EventType, Outcome, is_uuid, log_name, log_of
from audit.models import AuditDetail, Event, Log

PAGE_ROWS = 50


class NotACursor(ValueError):
    """The text does not name a place in the log."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event stands in its log's order: by time, then by id."""

    happened_at: datetime
    id: int

    def __str__(self) -> str:
        microseconds = round(self.happened_at.timestamp() * 1_000_000)
        return base64.urlsafe_b64encode(f"{microseconds}.{self.id}".encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read a place back from its text. Raises NotACursor."""
        try:
            padded = text + "=" * (-len(text) % 4)
            microseconds, _dot, row = base64.urlsafe_b64decode(padded).decode().partition(".")
            at = datetime.fromtimestamp(int(microseconds) // 1_000_000, UTC)
            place = cls(at.replace(microsecond=int(microseconds) % 1_000_000), int(row))
        except (ValueError, OverflowError, OSError, binascii.Error) as error:
            raise NotACursor("The place in the log could not be read.") from error
        if not 0 <= place.id < 2**63:
            raise NotACursor("The place in the log could not be read.")
        return place


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which events are asked for: of these logs, and where given of one kind only."""

    logs: Sequence[UUID | None]
    actor: str | None = None
    event_type: EventType | None = None
    outcome: Outcome | None = None
    about: str | None = None  # a target's reference or a conversation's id
    from_at: datetime | None = None
    until_at: datetime | None = None

    @property
    def names(self) -> list[str]:
        """The names of the filters in use, as events about a look say them."""
        given = {
            "actor": self.actor,
            "type": self.event_type,
            "outcome": self.outcome,
            "object": self.about,
            "from": self.from_at,
            "until": self.until_at,
        }
        return [name for name, value in given.items() if value is not None]

    @property
    def facts(self) -> dict[str, list[str] | datetime | None]:
        """What events about a look or an export say of it."""
        return {"filters": self.names, "from": self.from_at, "until": self.until_at}


@dataclass(frozen=True, slots=True)
class Page:
    """Events, newest first, and the place after which older ones follow (None: there are none)."""

    events: list[Event]
    next_place: Place | None


def events(wanted: Filter) -> QuerySet[Event]:
    """The events asked for, half-open in time (from ≤ happened_at < until), in no order."""
    found = Event.objects.filter(log__in=[log_name(log) for log in wanted.logs])
    if wanted.actor is not None:
        found = found.filter(actor=wanted.actor)
    if wanted.event_type is not None:
        found = found.filter(event_type=wanted.event_type.value)
    if wanted.outcome is not None:
        found = found.filter(outcome=wanted.outcome.value)
    if wanted.about is not None:
        found = found.filter(_about(wanted.about))
    if wanted.from_at is not None:
        found = found.filter(happened_at__gte=wanted.from_at)
    if wanted.until_at is not None:
        found = found.filter(happened_at__lt=wanted.until_at)
    return found


def page(*, wanted: Filter, rows: int, after: Place | None = None) -> Page:
    """
    One page of events, newest first; `after` is the `next_place` of the page before.

    Pages neither skip nor repeat an event, however many share an instant.
    """
    ordered = events(wanted).order_by("-happened_at", "-id")
    if after is not None:
        ordered = ordered.filter(_older_than(after))
    found = list(ordered[: rows + 1])
    shown = found[:rows]
    last = shown[-1] if len(found) > rows else None
    return Page(shown, Place(last.happened_at, last.id) if last else None)


def logs() -> list[UUID | None]:
    """Every log that was opened: the installation's (None) first, then the controllers'."""
    names = sorted(Log.objects.values_list("name", flat=True), key=lambda name: name[0] != "i")
    return [log_of(name) for name in names]


def details(event_ids: Sequence[UUID]) -> dict[UUID, AuditDetail]:
    """The details of these events that have not been erased."""
    return AuditDetail.objects.in_bulk(list(event_ids))


# A check that has not ended by then has died with its worker.
LONGEST_VERIFICATION = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Verification:
    """The last check of a log: `state` is None if there was none; see `audit.verification`."""

    is_running: bool = False
    state: str | None = None
    checked_at: datetime | None = None
    events: int = 0
    anchors: int = 0


def last_verification(*, log: str, now: datetime) -> Verification:
    """What the last check of a log has found, and whether one is under way."""
    requested, verified = (
        Event.objects.filter(log=log, event_type=kind.value).order_by("-happened_at", "-id").first()
        for kind in (EventType.AUDIT_VERIFICATION_REQUESTED, EventType.AUDIT_VERIFIED)
    )
    is_running = (
        requested is not None
        and requested.outcome == Outcome.ALLOW
        and requested.happened_at > now - LONGEST_VERIFICATION
        and (verified is None or verified.id < requested.id)
    )
    if verified is None:
        return Verification(is_running)
    facts = json.loads(verified.body)["x"]
    return Verification(
        is_running, facts["state"], verified.happened_at, facts["count"], facts["anchors"]
    )


@dataclass(frozen=True, slots=True)
class PartitionFault:
    """A log's class and month without a partition of its own, and how many events it holds."""

    log: str
    is_about_conversations: bool
    month: date
    events: int


def partition_faults(*, months_ahead: int) -> list[PartitionFault]:
    """
    What is not laid out as it should be: partitions missing, events in the default partition.

    Nothing is lost by it, but it wants a person: whoever runs this may read `audit_misplaced`.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT log, about_conversation, month, coalesce(events, 0) "
            "FROM audit_missing_partitions(%s) "
            "FULL JOIN audit_misplaced USING (log, about_conversation, month) ORDER BY 3, 1, 2",
            [months_ahead],
        )
        return [PartitionFault(*row) for row in cursor.fetchall()]


def _about(reference: str) -> Q:
    # The condition of the index by target, in its words: Django's exclude() adds IS NOT NULL.
    is_other = RawSQL("target_kind <> 'conversation'", [], output_field=BooleanField())
    wanted = Q(is_other, target=reference)
    return wanted | Q(conversation=UUID(reference)) if is_uuid(reference) else wanted


def _older_than(place: Place) -> Q:
    return Q(happened_at__lte=place.happened_at) & (
        Q(happened_at__lt=place.happened_at) | Q(id__lt=place.id)
    )
