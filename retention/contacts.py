"""What matching needs to know of conversations: of one by its row, of many by plain columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from recordings.models import Conversation
from retention.matching import Contact, Stretch

# The columns of a conversation that matching looks at, besides its end. They come as text.
COLUMNS = ("kind",)


def contact_of(conversation: Conversation, *, zone: ZoneInfo) -> Contact:
    """The conversation as matching sees it; prefetch `segments__queue` for many."""
    segments = list(
        conversation.segments.all()
        if "segments" in getattr(conversation, "_prefetched_objects_cache", {})
        else conversation.segments.select_related("queue")
    )
    return contact_from(
        {name: str(getattr(conversation, name)) for name in COLUMNS},
        ended_at=conversation.ended_at,
        stretches=(Stretch(segment.team_id, segment.queue_id) for segment in segments),
        health_queues={
            segment.queue.pk
            for segment in segments
            if segment.queue is not None and segment.queue.holds_health_data
        },
        zone=zone,
    )


def contact_from(
    columns: Mapping[str, str],
    *,
    ended_at: datetime,
    stretches: Iterable[Stretch],
    health_queues: Collection[UUID],
    zone: ZoneInfo,
) -> Contact:
    """The same from its COLUMNS; `health_queues` are those that may hold health data."""
    served = tuple(stretches)
    return Contact(
        kind=columns["kind"],
        ended_at=ended_at,
        stretches=served,
        may_hold_health_data=any(stretch.queue in health_queues for stretch in served),
        zone=zone,
    )
