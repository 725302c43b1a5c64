"""Lists what is open to somebody; each look at the list is an event before it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts.models import User
from accounts.queries import actor_for, controllers_for
from audit.events import EventType
from audit.operations import append_alone
from recordings.models import Conversation, QuarantinedItem, Segment
from recordings.operations.access import Looker
from recordings.paging import Cursor, Page, page_of
from recordings.queries import PAGE_ROWS, Filters, count_open, find_page, segments_of


@dataclass(frozen=True, slots=True)
class Listing:
    """One page, how many there are in all, and how many without the filter (if none with it)."""

    page: Page[Conversation]
    segments: dict[UUID, list[Segment]]
    count: int
    outside_count: int


def list_conversations(*, looker: Looker, filters: Filters, cursor: Cursor | None) -> Listing:
    """
    Find one page and log the look; which fields narrowed it is logged, not what they held.

    Raises AuditUnavailable, and then nothing is listed.
    """
    page = find_page(
        user=looker.user, purpose=looker.purpose, at=looker.at, filters=filters, cursor=cursor
    )
    count = count_open(user=looker.user, purpose=looker.purpose, at=looker.at, filters=filters)
    outside_count = 0
    if not count and filters.used:
        outside_count = count_open(
            user=looker.user, purpose=looker.purpose, at=looker.at, filters=Filters()
        )
    append_alone(
        event_type=EventType.CONVERSATIONS_LISTED,
        actor=actor_for(user=looker.user, at=looker.at),
        now=looker.at,
        log=None,
        purpose=looker.purpose.code,
        facts={"count": len(page.rows), "filters": filters.used},
    )
    return Listing(
        page=page,
        segments=segments_of([row.pk for row in page.rows]),
        count=count,
        outside_count=outside_count,
    )


def list_quarantined(*, user: User, at: datetime, cursor: Cursor | None) -> Page[QuarantinedItem]:
    """
    Find one page of what waits at the controllers that are the user's to see, and log the look.

    Raises AuditUnavailable, and then nothing is listed.
    """
    controllers = controllers_for(user=user, permission="recordings.see_quarantine", at=at)
    waiting = QuarantinedItem.objects.waiting().filter(controller__in=controllers)
    waiting = waiting.select_related("source")
    page = page_of(waiting, field="received_at", cursor=cursor, size=PAGE_ROWS)
    append_alone(
        event_type=EventType.QUARANTINE_VIEWED,
        actor=actor_for(user=user, at=at),
        now=at,
        log=None,
        facts={"count": len(page.rows)},
    )
    return page
