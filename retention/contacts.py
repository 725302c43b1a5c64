"""What matching needs to know of conversations: of one by its row, of many by plain columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from recordings.models import Conversation
from retention.event_queries import events_of
from retention.matching import Contact, Stretch

if TYPE_CHECKING:
    from retention.queries import RuleBook

# What `contact_of` asks of a conversation besides its row.
PREFETCH = ("segments__queue", "references")


@dataclass(frozen=True, slots=True)
class Facts:
    """What matching looks at, as it stands in a conversation's columns and beside it."""

    kind: str
    direction: str
    duration_seconds: float
    outcome: str
    language: str
    tags: frozenset[str]
    captured_at: datetime
    notice: str
    events: Mapping[str, datetime]


def contact_of(conversation: Conversation, *, book: RuleBook) -> Contact:
    """The conversation as matching sees it; prefetch PREFETCH for many."""
    segments = list(
        conversation.segments.all()
        if "segments" in getattr(conversation, "_prefetched_objects_cache", {})
        else conversation.segments.select_related("queue")
    )
    return contact_from(
        Facts(
            kind=conversation.kind,
            direction=conversation.direction,
            duration_seconds=conversation.duration_seconds,
            outcome=conversation.outcome,
            language=conversation.language,
            tags=frozenset(conversation.tags),
            captured_at=conversation.captured_at,
            notice=conversation.notice,
            events=events_of(conversation, at=book.events_at) if book.asks_for_events else {},
        ),
        ended_at=conversation.ended_at,
        stretches=(Stretch(segment.team_id, segment.queue_id) for segment in segments),
        health_queues={
            segment.queue.pk
            for segment in segments
            if segment.queue is not None and segment.queue.holds_health_data
        },
        book=book,
    )


def contact_from(
    facts: Facts,
    *,
    ended_at: datetime,
    stretches: Iterable[Stretch],
    health_queues: Collection[UUID],
    book: RuleBook,
) -> Contact:
    """The same from what has been read; `health_queues` are those that may hold health data."""
    served = tuple(stretches)
    return Contact(
        kind=facts.kind,
        ended_at=ended_at,
        stretches=served,
        may_hold_health_data=any(stretch.queue in health_queues for stretch in served),
        zone=book.zone,
        direction=facts.direction,
        duration_seconds=facts.duration_seconds,
        outcome=facts.outcome,
        language=facts.language,
        tags=facts.tags,
        events=facts.events,
        captured_at=facts.captured_at,
        noticed_months=book.noticed_months.get(facts.notice, {}),
    )
