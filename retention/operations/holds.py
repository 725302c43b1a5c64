"""Opens and closes matters, names their handlers, places holds and lifts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import Controller, User
from accounts.queries import actor_for
from audit.events import Actor, EventType, FactValue, NewEvent, Outcome, Target
from audit.operations import append, append_many
from recordings.keyring import Keyring
from recordings.models import NO_END, Conversation
from recordings.operations import lifecycle
from recordings.operations.matter_uses import end_for_matter, permit_for_matter
from retention.models import Hold, Matter, MatterHandler
from retention.operations import mirror
from retention.operations.purge.steps import recall
from retention.permissions import check_can_hold


class MatterClosed(Exception):
    """The matter is closed: it holds nothing any more, and nothing new."""

    def __init__(self) -> None:
        super().__init__(_("The matter is closed."))


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
def open_matter(
    *, controller: Controller, code: str, name: str, reason: str, opened_by: User, now: datetime
) -> Matter:
    """
    Open a matter, for which holds can be placed.

    Raises NotEntitled; IntegrityError if the company has a matter of that code.
    """
    check_can_hold(user=opened_by, controller=controller)
    matter = Matter.objects.create(
        controller=controller,
        code=code,
        name=name,
        reason=reason,
        opened_at=now,
        opened_by=opened_by,
    )
    append(
        event_type=EventType.MATTER_OPENED,
        actor=actor_for(user=opened_by, at=now),
        now=now,
        log=controller.pk,
        target=Target("matter", str(matter.pk)),
    )
    return matter


@transaction.atomic
def add_handler(*, matter: Matter, handler: User, added_by: User, now: datetime) -> MatterHandler:
    """
    Name a person who handles the matter: she alone may hear what it holds, as long as it is open.

    A second time changes nothing. Raises NotEntitled, MatterClosed.
    """
    matter = _locked(matter)
    check_can_hold(user=added_by, controller=matter.controller)
    named, is_new = MatterHandler.objects.get_or_create(
        matter=matter, user=handler, defaults={"named_at": now}
    )
    if not is_new:
        return named
    held = matter.holds.filter(lifted_at=None).values_list("conversation_id", flat=True)
    permit_for_matter(
        conversation_ids=list(held),
        matter_id=matter.pk,
        handlers=[handler.pk],
        from_at=now,
        until_at=NO_END,
    )
    append(
        event_type=EventType.MATTER_HANDLER_ADDED,
        actor=actor_for(user=added_by, at=now),
        now=now,
        log=matter.controller_id,
        target=Target("matter", str(matter.pk)),
        facts={"user": handler.reference},
    )
    return named


@transaction.atomic
def place_hold(
    *,
    matter: Matter,
    conversation_ids: Sequence[UUID],
    placed_by: User,
    keyring: Keyring,
    now: datetime,
) -> PlacedHolds:
    """
    Bar the destruction of the conversations, and open them to the matter's handlers.

    One that a purge run has withdrawn comes back as long as its key exists; for one whose key is
    destroyed the hold comes too late, which is said and logged. A second time changes nothing.
    The store is told after commit.

    Raises:
        NotEntitled, MatterClosed, NotOfThisCompany: nothing was held.
        KeyringUnavailable, KeyMissing, KeyDoesNotFit: nothing was held.
    """
    matter = _locked(matter)
    check_can_hold(user=placed_by, controller=matter.controller)
    actor = actor_for(user=placed_by, at=now)
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
        matter.holds.filter(
            lifted_at=None, conversation__in=[row.pk for row in reachable]
        ).values_list("conversation_id", flat=True)
    )
    placed = [row.pk for row in reachable if row.pk not in held]
    # Counted and under its new key first: once the hold stands, the key cannot be touched.
    lifecycle.count_holds(conversation_ids=placed, change=1, keyring=keyring)
    Hold.objects.bulk_create(
        Hold(matter=matter, conversation_id=pk, placed_at=now, placed_by=placed_by) for pk in placed
    )
    permit_for_matter(
        conversation_ids=placed,
        matter_id=matter.pk,
        handlers=list(matter.handlers.values_list("user_id", flat=True)),
        from_at=now,
        until_at=NO_END,
    )
    late = [each.conversation_id for each in too_late]
    append_many(
        events=[
            *_events(EventType.HOLD_PLACED, matter, placed, actor=actor, now=now),
            *_events(EventType.HOLD_TOO_LATE, matter, late, actor=actor, now=now),
        ]
    )
    mirror.request(conversation_ids=placed)
    return PlacedHolds(
        placed=placed, held_already=sorted(held), brought_back=back, too_late=too_late
    )


@transaction.atomic
def lift_hold(
    *,
    matter: Matter,
    conversation_ids: Sequence[UUID] | Literal["all"],
    lifted_by: User,
    keyring: Keyring,
    now: datetime,
) -> list[UUID]:
    """
    Lift the matter's holds on the conversations, and end what it opened.

    What another matter holds stays held. The store is told after commit. Returns the
    conversations on which a hold was lifted; without one nothing changes.

    Raises:
        NotEntitled: nothing was lifted.
        KeyringUnavailable, KeyMissing, KeyDoesNotFit: nothing was lifted.
    """
    matter = _locked(matter, is_open=False)
    check_can_hold(user=lifted_by, controller=matter.controller)
    active = matter.holds.filter(lifted_at=None)
    if conversation_ids != "all":
        active = active.filter(conversation__in=conversation_ids)
    ids = sorted(active.values_list("conversation_id", flat=True))
    lifecycle.lock(conversation_ids=ids)
    # Lifted first: as long as the hold stands, the database lets nobody count it down.
    Hold.objects.filter(matter=matter, conversation__in=ids, lifted_at=None).update(
        lifted_at=now, lifted_by=lifted_by
    )
    lifecycle.count_holds(conversation_ids=ids, change=-1, keyring=keyring)
    end_for_matter(matter_id=matter.pk, conversation_ids=ids, now=now)
    actor = actor_for(user=lifted_by, at=now)
    append_many(events=_events(EventType.HOLD_LIFTED, matter, ids, actor=actor, now=now))
    mirror.request(conversation_ids=ids)
    return ids


@transaction.atomic
def close_matter(*, matter: Matter, closed_by: User, keyring: Keyring, now: datetime) -> list[UUID]:
    """
    Close the matter and lift all its holds. Returns the conversations they were on.

    Raises NotEntitled, MatterClosed, and what `lift_hold` raises.
    """
    matter = _locked(matter)
    check_can_hold(user=closed_by, controller=matter.controller)
    lifted = lift_hold(
        matter=matter, conversation_ids="all", lifted_by=closed_by, keyring=keyring, now=now
    )
    matter.closed_at = now
    matter.save(update_fields=["closed_at"])
    append(
        event_type=EventType.MATTER_CLOSED,
        actor=actor_for(user=closed_by, at=now),
        now=now,
        log=matter.controller_id,
        target=Target("matter", str(matter.pk)),
        facts={"conversations": len(lifted)},
    )
    return lifted


def _locked(matter: Matter, *, is_open: bool = True) -> Matter:
    locked = Matter.objects.select_for_update(of=("self",)).select_related("controller")
    row = locked.get(pk=matter.pk)
    if is_open and row.closed_at is not None:
        raise MatterClosed
    return row


def _events(
    event_type: EventType,
    matter: Matter,
    conversation_ids: Sequence[UUID],
    *,
    actor: Actor,
    now: datetime,
) -> list[NewEvent]:
    facts: dict[str, FactValue] = {"matter": matter.pk}
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
