"""Larger questions to a log: a conversation's story, counts by day, refusals in a row, looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import Count, Q
from django.db.models.functions import TruncDate
from django.utils import timezone

from audit.counting import TooManyToCount, limited
from audit.events import EventType, Outcome, log_name
from audit.listenings import Happening, folded
from audit.models import Event
from audit.queries import Filter, Place, events

STORY_EVENTS = 200
LONGEST_COUNTED_DAYS = 400
COUNTED_DAYS = 30
REFUSALS_IN_A_ROW = 5
REFUSALS_WITHIN = timedelta(days=7)
LOOKS = (EventType.DIALOG_PLAYED, EventType.CHAT_READ, EventType.CONVERSATION_VIEWED)
# Of so many conversations, the newest, it is told who has looked into them.
LOOKED_AT_CONVERSATIONS = 5_000
LOOKED_AT_EVENTS = 1_000

# Actors whose events of late have at least so many refusals with nothing allowed in between.
_IN_A_ROW = """
WITH late AS (
    SELECT actor, happened_at, outcome,
        row_number() OVER (PARTITION BY actor ORDER BY happened_at, id)
        - row_number() OVER (PARTITION BY actor, outcome <> 'allow' ORDER BY happened_at, id) AS run
    FROM audit_event WHERE log = %s AND happened_at >= %s AND happened_at < %s
)
SELECT actor, min(happened_at), max(happened_at), count(*)
FROM late WHERE outcome = 'deny'
GROUP BY actor, run HAVING count(*) >= %s
ORDER BY max(happened_at) DESC LIMIT 100
"""


@dataclass(frozen=True, slots=True)
class Story:
    """What happened, oldest first, and the place after which it goes on (None: it does not)."""

    happenings: list[Happening]
    next_place: Place | None


@dataclass(frozen=True, slots=True)
class Day:
    """How many events a day had, by how they ended."""

    day: date
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class RefusedInARow:
    """Somebody who was refused again and again, with nothing allowed in between."""

    actor: str
    from_at: datetime
    until_at: datetime
    count: int


def story(*, log: UUID | None, conversation: UUID, after: Place | None = None) -> Story:
    """What happened to a conversation in this log, also after it was destroyed."""
    found = Event.objects.filter(log=log_name(log), conversation=conversation)
    if after is not None:
        found = found.filter(
            Q(happened_at__gte=after.happened_at)
            & (Q(happened_at__gt=after.happened_at) | Q(id__gt=after.id))
        )
    rows = list(found.order_by("happened_at", "id")[: STORY_EVENTS + 1])
    shown = rows[:STORY_EVENTS]
    last = shown[-1] if len(rows) > STORY_EVENTS else None
    return Story(folded(shown), Place(last.happened_at, last.id) if last else None)


def days(wanted: Filter, *, now: datetime) -> list[Day]:
    """
    Count events by day of the installation's zone and by outcome: the last 30 days unless told.

    Raises `audit.counting.TooManyToCount`.
    """
    zone = timezone.get_default_timezone()
    last = (wanted.until_at or now).astimezone(zone)
    first = (wanted.from_at or last - timedelta(days=COUNTED_DAYS - 1)).astimezone(zone)
    if last - first > timedelta(days=LONGEST_COUNTED_DAYS):
        raise TooManyToCount
    found: dict[date, dict[str, int]] = {}
    with limited():
        counted = (
            events(wanted)
            .filter(happened_at__gte=first.replace(hour=0, minute=0, second=0, microsecond=0))
            .annotate(day=TruncDate("happened_at", tzinfo=zone))
            .values_list("day", "outcome")
            .annotate(count=Count("event_id"))
            .order_by()
        )
        for day, outcome, count in counted:
            found.setdefault(day, {})[outcome] = count
    shown_last = (last - timedelta(microseconds=1)).date() if wanted.until_at else last.date()
    span = range((shown_last - first.date()).days + 1)
    return [
        Day(day, found.get(day, {})) for day in (first.date() + timedelta(days=n) for n in span)
    ]


def refused_in_a_row(*, log: UUID | None, now: datetime) -> list[RefusedInARow]:
    """
    Who was refused five times or more in a row within the last week, the latest first.

    Raises `audit.counting.TooManyToCount`.
    """
    with limited(), connection.cursor() as cursor:
        cursor.execute(_IN_A_ROW, [log_name(log), now - REFUSALS_WITHIN, now, REFUSALS_IN_A_ROW])
        return [RefusedInARow(*row) for row in cursor.fetchall()]


def looks_into(*, conversations: Sequence[UUID], without: str) -> list[Happening]:
    """Who has looked into these conversations, the latest first, but for one actor."""
    found = Event.objects.filter(
        conversation__in=conversations[:LOOKED_AT_CONVERSATIONS],
        event_type__in=[kind.value for kind in LOOKS],
        outcome=Outcome.ALLOW.value,
    ).exclude(actor=without)
    rows = list(found.order_by("-happened_at", "-id")[:LOOKED_AT_EVENTS])
    return folded(rows)
