"""How a conversation stood at a time: from what rows keep of it, and the events that covered it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

from audit.events import EventType
from audit.models import Event
from recordings.models import Conversation, PermittedUse
from recordings.operations.uses import NewUse
from retention.holding import awaiting_their_holds
from retention.models import (
    Destruction,
    Disposition,
    Hold,
    PurgeRun,
    RuleVersion,
)
from retention.operations.cover import uses_from
from retention.queries import decisions_for, rule_book


@dataclass(frozen=True, slots=True)
class Standing:
    """
    How a conversation stood at a time.

    `uses` are those of rules, by purpose; `destruction` is the one that was open or concluded.
    While no rule covers it, `destroy_after` is the time before which to decide.
    """

    state: str
    destroy_after: datetime | None
    is_uncovered: bool
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
    covered = _covered(conversation, at)
    return Standing(
        state=_state(row),
        destroy_after=covered.ends_at,
        is_uncovered=covered.is_uncovered,
        uses=covered.uses,
        destruction=destruction,
        **row,
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


def is_awaiting_a_hold(conversation: Conversation, *, at: datetime) -> bool:
    """Whether a matter's criterion matched it at that time that had not come to it yet."""
    criteria_came_later = Hold.objects.filter(
        conversation=conversation,
        placed_at__gt=at,
        criterion__set_at__lte=at,
        criterion__set_at__gt=conversation.captured_at,
    )
    if criteria_came_later.exists():
        return True
    return bool(
        awaiting_their_holds(
            conversation_ids=[conversation.pk],
            controllers=[conversation.controller_id],
            set_by=at,
        )
    )


def is_braked(*, at: datetime) -> bool:
    """Whether the last purge run at that time had been stopped for its size."""
    last = PurgeRun.objects.filter(started_at__lte=at).order_by("started_at").last()
    # A release is used by the run that comes next.
    stopped = (PurgeRun.State.BRAKED, PurgeRun.State.RELEASED)
    return last is not None and last.state in stopped


def _state(row: Mapping[str, datetime | None]) -> str:
    if row["destroyed_at"]:
        return Conversation.State.DESTROYED
    return Conversation.State.WITHDRAWN if row["withdrawn_at"] else Conversation.State.KEPT


def _none_later(at: datetime, **times: datetime | None) -> dict[str, datetime | None]:
    return {name: time if time and time <= at else None for name, time in times.items()}


@dataclass(frozen=True, slots=True)
class _Covered:
    """What rules had said of it."""

    ends_at: datetime | None
    is_uncovered: bool
    uses: Mapping[UUID, NewUse]


def _covered(conversation: Conversation, at: datetime) -> _Covered:
    """Its end and the uses that rules permitted, as they had been written by that time."""
    coverings = Event.objects.filter(
        log=str(conversation.controller_id),
        about_conversation=True,
        conversation=conversation.pk,
        event_type=EventType.CONVERSATION_COVERED,
    ).order_by("happened_at", "id")
    prolonged = Disposition.objects.filter(target=conversation.pk, done_at__isnull=False)
    if not (
        coverings.filter(happened_at__gt=at).exists() or prolonged.filter(done_at__gt=at).exists()
    ):
        return _Covered(
            conversation.destroy_after,
            conversation.uncovered_at is not None or conversation.destroy_after is None,
            _as_written(conversation),
        )
    last = coverings.filter(happened_at__lte=at).last()
    if last is None:
        return _Covered(None, True, {})
    uses = _as_covered(conversation, last)
    if uses:
        return _Covered(max(use.until_at for use in uses.values()), False, uses)
    ends_at = _decided_before(last)
    since = prolonged.filter(done_at__gt=last.happened_at, done_at__lte=at)
    for decided in since.order_by("done_at"):
        assert decided.done_at is not None
        if decided.kind == Disposition.Kind.EXTEND:
            ends_at += timedelta(days=settings.UNCOVERED_DECIDE_DAYS)
        else:
            ends_at = min(decided.done_at, ends_at)
    return _Covered(ends_at, True, {})


def _decided_before(event: Event) -> datetime:
    """The time before which to decide about what the event says that no rule covers."""
    told = _facts(event).get("destroy_after")
    if told:
        return datetime.fromisoformat(told)
    return event.happened_at + timedelta(days=settings.UNCOVERED_DECIDE_DAYS)


def _as_written(conversation: Conversation) -> dict[UUID, NewUse]:
    rows = conversation.permitted_uses.filter(
        authority_kind=PermittedUse.AuthorityKind.RULE
    ).order_by("until_at", "pk")
    return {
        row.purpose_id: NewUse(row.purpose_id, row.from_at, row.until_at, row.authority)
        for row in rows
    }


def _as_covered(conversation: Conversation, event: Event) -> dict[UUID, NewUse]:
    """What the versions that the event names gave it, by the rules and limits of that time."""
    named = {UUID(version) for version in _facts(event).get("rules", ())}
    versions = RuleVersion.objects.filter(pk__in=named)
    # A capture that came to it after a change of rules went by the change.
    covered_at = max([event.happened_at, *(version.in_force_from for version in versions)])
    book = rule_book(controller=conversation.controller, at=covered_at, events_at=event.happened_at)
    uses = uses_from(decisions_for(conversation, book=book), conversation=conversation)
    return {use.purpose: use for use in uses if use.authority in named}


def _facts(event: Event) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(event.body).get("x", {})
    return facts
