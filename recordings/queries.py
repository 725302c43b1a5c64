"""Questions over conversations: one page of the list, how many there are, who heard one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import (
    Count,
    Exists,
    JSONField,
    Max,
    OuterRef,
    Q,
    Subquery,
    TextField,
)
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast, Coalesce

from accounts.models import Purpose, User
from accounts.queries import names_by_reference
from audit.events import EventType
from audit.models import Event
from recordings.models import Conversation, PermittedUse, Segment
from recordings.models.conversation import ConversationQuerySet
from recordings.paging import Cursor, Page, page_of

PAGE_ROWS = 50
COUNT_CAP = 1000


@dataclass(frozen=True, slots=True)
class Filters:
    """What the list is narrowed to; an empty field narrows nothing."""

    from_at: datetime | None = None
    until_at: datetime | None = None
    team_id: UUID | None = None
    kind: str = ""
    language: str = ""
    agent_id: UUID | None = None
    ends_before: datetime | None = None

    def apply(self, rows: ConversationQuerySet) -> ConversationQuerySet:
        """Narrow the conversations."""
        if self.from_at:
            rows = rows.filter(started_at__gte=self.from_at)
        if self.until_at:
            rows = rows.filter(started_at__lt=self.until_at)
        if self.kind:
            rows = rows.filter(kind=self.kind)
        if self.language:
            rows = rows.filter(language=self.language)
        if self.ends_before:
            rows = rows.filter(destroy_after__lt=self.ends_before)
        segments = Segment.objects.filter(conversation=OuterRef("pk"))
        if self.team_id:
            rows = rows.filter(Exists(segments.filter(team_id=self.team_id)))
        if self.agent_id:
            rows = rows.filter(Exists(segments.filter(agent__user_id=self.agent_id)))
        return rows

    @property
    def used(self) -> list[str]:
        """The names of the fields that narrow, for the audit log: never what they hold."""
        return [name for name in self.__slots__ if getattr(self, name)]


def find_page(
    *,
    user: User,
    purpose: Purpose,
    at: datetime,
    filters: Filters,
    cursor: Cursor | None,
    rows_per_page: int = PAGE_ROWS,
) -> Page[Conversation]:
    """
    Find one page of what is open to the user, newest first.

    Each row carries `open_until`: when the use for this purpose ends.
    """
    visible = filters.apply(Conversation.objects.open_to(user=user, purpose=purpose, at=at))
    until = (
        PermittedUse.objects.filter(conversation=OuterRef("pk"))
        .current(purpose=purpose, at=at)
        .filter(Q(only_for=None) | Q(only_for=user))
        .order_by()
        .values("conversation")
        .annotate(last=Max("until_at"))
        .values("last")
    )
    visible = visible.annotate(open_until=Subquery(until)).defer("wrapped_key", "content_hash")
    return page_of(visible, field="started_at", cursor=cursor, size=rows_per_page)


def segments_of(conversation_ids: Sequence[UUID]) -> dict[UUID, list[Segment]]:
    """Find the segments of conversations, with team and agent, by conversation."""
    by_conversation: dict[UUID, list[Segment]] = {}
    rows = Segment.objects.filter(conversation__in=conversation_ids)
    for segment in rows.select_related("team", "queue", "agent__user").order_by("from_at"):
        by_conversation.setdefault(segment.conversation_id, []).append(segment)
    return by_conversation


def count_open(
    *, user: User, purpose: Purpose, at: datetime, filters: Filters, cap: int = COUNT_CAP
) -> int:
    """Count what is open to the user, up to `cap` + 1, which means "more than cap"."""
    visible = filters.apply(Conversation.objects.open_to(user=user, purpose=purpose, at=at))
    return visible.values("pk")[: cap + 1].count()


def why_open(
    *, conversation: Conversation, user: User, purpose: Purpose, at: datetime
) -> PermittedUse | None:
    """Find the use that opens it the longest for this person and purpose."""
    return (
        PermittedUse.objects.filter(conversation=conversation)
        .current(purpose=purpose, at=at)
        .filter(Q(only_for=None) | Q(only_for=user))
        .order_by("-until_at")
        .first()
    )


def looks_at(*, conversation: Conversation, most: int = 20) -> list[dict[str, Any]]:
    """
    Find who has opened the content, the last first: `name`, `at` (the last time), `count`.

    Ranges of one listening are one look, by play id.
    """
    opened = Event.objects.filter(
        log=str(conversation.controller_id),
        about_conversation=True,
        conversation=conversation.pk,
        event_type__in=[EventType.DIALOG_PLAYED, EventType.CHAT_READ],
        outcome="allow",
    )
    play = KeyTextTransform("play", KeyTransform("x", Cast("body", JSONField())))
    rows = (
        opened.annotate(look=Coalesce(play, Cast("event_id", TextField())))
        .values("actor")
        .annotate(at=Max("happened_at"), count=Count("look", distinct=True))
        .order_by("-at")[:most]
    )
    names = names_by_reference(row["actor"] for row in rows)
    return [{**row, "name": names.get(row["actor"], row["actor"][:8])} for row in rows]
