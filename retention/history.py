"""How a conversation stood at a time: from what rows keep of it, and the events that covered it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from audit.events import EventType
from audit.models import Event
from recordings.models import Conversation, PermittedUse
from recordings.operations.uses import NewUse
from retention.contacts import contact_of
from retention.matching import decide
from retention.models import Destruction, Hold, PurgeRun, RuleVersion
from retention.operations.cover import uses_from
from retention.queries import rule_book, terms_of


@dataclass(frozen=True, slots=True)
class Standing:
    """
    How a conversation stood at a time.

    `uses` are those of rules, by purpose; `destruction` is the one that was open or concluded.
    """

    state: str
    destroy_after: datetime | None
    uses: Mapping[UUID, NewUse]
    destruction: Destruction | None
    restricted_at: datetime | None
    closed_at: datetime | None
    withdrawn_at: datetime | None
    key_destroyed_at: datetime | None
    destroyed_at: datetime | None

    @property
    def is_kept(self) -> bool:
        """Whether its content existed and was not about to go."""
        return self.state == Conversation.State.KEPT


def standing_of(conversation: Conversation, *, at: datetime) -> Standing:
    """
    How the conversation stood at that time.

    What has ended without a trace, such as a restriction that was lifted, is not found again.
    """
    destruction = destruction_of(conversation, at=at)
    row = _none_later(
        at,
        withdrawn_at=conversation.withdrawn_at,
        key_destroyed_at=conversation.key_destroyed_at,
        destroyed_at=conversation.destroyed_at,
        restricted_at=conversation.restricted_at,
        closed_at=conversation.closed_at,
    )
    if destruction is not None:
        # A hold that brought it back has emptied the time on its own row.
        row["withdrawn_at"] = row["withdrawn_at"] or destruction.withdrawn_at
    ends_at, uses = _uses(conversation, at)
    return Standing(
        state=_state(row), destroy_after=ends_at, uses=uses, destruction=destruction, **row
    )


def destruction_of(conversation: Conversation, *, at: datetime) -> Destruction | None:
    """The destruction of the conversation that had begun at that time and not been recalled."""
    return (
        Destruction.objects.filter(
            Q(recalled_at=None) | Q(recalled_at__gt=at),
            conversation=conversation,
            withdrawn_at__lte=at,
        )
        .select_related("certificate")
        .order_by("withdrawn_at")
        .last()
    )


def holds_at(conversation: Conversation, *, at: datetime) -> QuerySet[Hold]:
    """The holds that had been placed on it by that time, lifted or not."""
    return Hold.objects.filter(conversation=conversation, placed_at__lte=at)


def is_braked(*, at: datetime) -> bool:
    """Whether the last purge run at that time had been stopped for its size."""
    last = PurgeRun.objects.filter(started_at__lte=at).order_by("started_at").last()
    return last is not None and last.state == PurgeRun.State.BRAKED


def _state(row: Mapping[str, datetime | None]) -> str:
    if row["destroyed_at"]:
        return Conversation.State.DESTROYED
    return Conversation.State.WITHDRAWN if row["withdrawn_at"] else Conversation.State.KEPT


def _none_later(at: datetime, **times: datetime | None) -> dict[str, datetime | None]:
    return {name: time if time and time <= at else None for name, time in times.items()}


def _uses(conversation: Conversation, at: datetime) -> tuple[datetime | None, dict[UUID, NewUse]]:
    """Its end and the uses that rules permitted, as they had been written by that time."""
    coverings = Event.objects.filter(
        log=str(conversation.controller_id),
        about_conversation=True,
        conversation=conversation.pk,
        event_type=EventType.CONVERSATION_COVERED,
    ).order_by("happened_at", "id")
    if not coverings.filter(happened_at__gt=at).exists():
        return conversation.destroy_after, _as_written(conversation)
    last = coverings.filter(happened_at__lte=at).last()
    uses = _as_covered(conversation, last) if last is not None else {}
    return max((use.until_at for use in uses.values()), default=None), uses


def _as_written(conversation: Conversation) -> dict[UUID, NewUse]:
    rows = conversation.permitted_uses.filter(
        authority_kind=PermittedUse.AuthorityKind.RULE
    ).order_by("until_at", "pk")
    return {
        row.purpose_id: NewUse(row.purpose_id, row.from_at, row.until_at, row.authority)
        for row in rows
    }


def _as_covered(conversation: Conversation, event: Event) -> dict[UUID, NewUse]:
    """What the versions that the event names gave it, within the limits of that time."""
    facts: dict[str, Any] = json.loads(event.body).get("x", {})
    versions = RuleVersion.objects.filter(pk__in=facts.get("rules", ())).select_related("rule")
    # A capture that came to it after a change of rules went by the change.
    covered_at = max([event.happened_at, *(version.created_at for version in versions)])
    book = rule_book(controller=conversation.controller, at=covered_at)
    decisions = decide(
        contact=contact_of(conversation, zone=book.zone),
        versions=[terms_of(version) for version in versions],
        limits=book.limits,
    )
    return {use.purpose: use for use in uses_from(decisions, conversation=conversation)}
