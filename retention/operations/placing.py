"""Places holds on conversations, whoever or whatever asked for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from audit.events import Actor, EventType, FactValue, NewEvent, Outcome, Target
from audit.operations import append_many
from recordings.keyring import Keyring
from recordings.models import NO_END, Conversation
from recordings.operations import lifecycle
from recordings.operations.matter_uses import permit_for_matter
from retention.models import Criterion, Hold, Matter
from retention.operations import mirror
from retention.operations.purge.steps import recall


class NotOfThisCompany(Exception):
    """Conversations were named that the matter's company does not have."""

    def __init__(self, conversation_ids: Sequence[UUID]) -> None:
        super().__init__(_("Some of the conversations are not known at that company."))
        self.conversation_ids = list(conversation_ids)


@dataclass(frozen=True, slots=True)
class TooLate:
    """A conversation that a hold can no longer save, and since when."""

    conversation_id: UUID
    key_destroyed_at: datetime


@dataclass(frozen=True, slots=True)
class PlacedHolds:
    """What became of each conversation for which a hold was asked."""

    placed: list[UUID]
    held_already: list[UUID]
    brought_back: list[UUID]
    too_late: list[TooLate]


@transaction.atomic
def place(
    *,
    matter: Matter,
    criterion: Criterion | None,
    conversation_ids: Sequence[UUID],
    placed_by: User | None,
    actor: Actor,
    keyring: Keyring | None,
    now: datetime,
) -> PlacedHolds:
    """
    Hold the conversations for the matter, whose row the caller has locked or keeps from changing.

    Raises as `holds.place_hold` does.
    """
    # The row that withdrawing and destroying the key lock too: whichever comes second sees what
    # the first has committed.
    rows = lifecycle.lock(conversation_ids=conversation_ids)
    known = {row.pk for row in rows if row.controller_id == matter.controller_id}
    if strangers := set(conversation_ids) - known:
        raise NotOfThisCompany(sorted(strangers))
    too_late = [
        TooLate(row.pk, row.key_destroyed_at) for row in rows if row.key_destroyed_at is not None
    ]
    reachable = [row for row in rows if row.key_destroyed_at is None]
    back = lifecycle.bring_back(
        conversation_ids=[row.pk for row in reachable if row.state == Conversation.State.WITHDRAWN],
        actor=actor,
        now=now,
        reason="hold",
    )
    recall(conversation_ids=back, now=now)
    held = set(
        matter.holds.staying()
        .filter(criterion=criterion, conversation__in=[row.pk for row in reachable])
        .values_list("conversation_id", flat=True)
    )
    placed = [row.pk for row in reachable if row.pk not in held]
    # Counted and under its new key first: once the hold stands, the key cannot be touched.
    lifecycle.count_holds(conversation_ids=placed, change=1, keyring=keyring)
    Hold.objects.bulk_create(
        Hold(
            matter=matter,
            criterion=criterion,
            conversation_id=pk,
            placed_at=now,
            placed_by=placed_by,
        )
        for pk in placed
    )
    permit_for_matter(
        conversation_ids=placed,
        matter_id=matter.pk,
        handlers=list(matter.handlers.values_list("user_id", flat=True)),
        from_at=now,
        until_at=NO_END,
    )
    facts: dict[str, FactValue] = {"matter": matter.pk}
    if criterion is not None:
        facts["criterion"] = criterion.pk
    late = [each.conversation_id for each in too_late]
    append_many(
        events=[
            *hold_events(EventType.HOLD_PLACED, matter, placed, facts, actor=actor, now=now),
            *hold_events(EventType.HOLD_TOO_LATE, matter, late, facts, actor=actor, now=now),
        ]
    )
    mirror.request(conversation_ids=placed)
    return PlacedHolds(
        placed=placed, held_already=sorted(held), brought_back=back, too_late=too_late
    )


def hold_events(
    event_type: EventType,
    matter: Matter,
    conversation_ids: Sequence[UUID],
    facts: Mapping[str, FactValue],
    *,
    actor: Actor,
    now: datetime,
) -> list[NewEvent]:
    """One event of a hold on each of the conversations."""
    is_refusal = event_type == EventType.HOLD_TOO_LATE
    return [
        NewEvent(
            event_type=event_type,
            actor=actor,
            now=now,
            log=matter.controller_id,
            target=Target("conversation", str(pk)),
            outcome=Outcome.DENY if is_refusal else None,
            facts=facts,
        )
        for pk in conversation_ids
    ]
