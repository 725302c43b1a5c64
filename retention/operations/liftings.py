"""Lifts holds, drops criteria and closes matters: one person proposes, another agrees."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from celery import current_app
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.queries import actor_for
from audit.events import Actor, EventType, FactValue, Target
from audit.operations import append, append_many
from recordings.keyring import KeyDoesNotFit, KeyMissing, Keyring
from recordings.operations import lifecycle
from recordings.operations.matter_uses import end_for_matter
from retention.models import Criterion, Hold, Lifting, Matter
from retention.models.holds import HoldQuerySet
from retention.operations import mirror
from retention.operations.holds import lock_matter
from retention.operations.placing import hold_events
from retention.operations.rule_lock import change_alone
from retention.permissions import check_can_hold

ACTOR = Actor.system("lifting")
TASK = "retention.tasks.lift_holds"
BATCH_SIZE = 200


class NothingToLift(Exception):
    """The matter holds nothing of what was named, or somebody has agreed to lift it already."""

    def __init__(self) -> None:
        super().__init__(_("Nothing of this is held, or it is being lifted already."))


class ProposedAlready(Exception):
    """The same was proposed and waits for a second person."""

    def __init__(self) -> None:
        super().__init__(_("This has been proposed and waits for a second person."))


class LiftingSettled(Exception):
    """The proposal no longer waits: it was agreed to or taken back."""

    def __init__(self) -> None:
        super().__init__(_("The proposal was agreed to or taken back already."))


class SamePerson(Exception):
    """Who proposed it cannot be the second person."""

    def __init__(self) -> None:
        super().__init__(_("Whoever proposed it cannot agree to it: that takes a second person."))


class AnotherPerson(Exception):
    """Only who made a proposal can take it back."""

    def __init__(self) -> None:
        super().__init__(_("Only the person who proposed it can take it back."))


@transaction.atomic
def propose_lifting(
    *,
    matter: Matter,
    conversation_ids: Sequence[UUID] | Literal["all"],
    reason: str,
    proposed_by: User,
    now: datetime,
) -> Lifting:
    """
    Propose to lift the matter's holds on the conversations, those for its criteria too.

    "all" means those that stand now. They stand until a second person agrees.

    Raises NotEntitled, MatterClosed; NothingToLift: none of them is held.
    """
    matter = lock_matter(matter)
    check_can_hold(user=proposed_by, controller=matter.controller)
    standing = matter.holds.staying()
    if conversation_ids != "all":
        standing = standing.filter(conversation__in=conversation_ids)
    hold_ids = sorted(standing.values_list("pk", flat=True))
    if not hold_ids:
        raise NothingToLift
    return _proposed(
        Lifting(matter=matter, kind=Lifting.Kind.HOLDS, hold_ids=hold_ids, reason=reason),
        proposed_by=proposed_by,
        now=now,
    )


@transaction.atomic
def propose_dropping(
    *, criterion: Criterion, reason: str, proposed_by: User, now: datetime
) -> Lifting:
    """
    Propose to drop a criterion of a matter, and to lift the holds placed for it.

    What another criterion, another matter or a hold placed by hand holds too, stays held.

    Raises NotEntitled, MatterClosed; NothingToLift: it is dropped already; ProposedAlready.
    """
    matter = lock_matter(criterion.matter)
    check_can_hold(user=proposed_by, controller=matter.controller)
    if not Criterion.objects.standing().filter(pk=criterion.pk).exists():
        raise NothingToLift
    if Lifting.objects.open().filter(criterion=criterion).exists():
        raise ProposedAlready
    return _proposed(
        Lifting(matter=matter, kind=Lifting.Kind.CRITERION, criterion=criterion, reason=reason),
        proposed_by=proposed_by,
        now=now,
    )


@transaction.atomic
def propose_closing(*, matter: Matter, reason: str, proposed_by: User, now: datetime) -> Lifting:
    """
    Propose to close the matter: to drop its criteria and to lift all its holds.

    Raises NotEntitled, MatterClosed, ProposedAlready.
    """
    matter = lock_matter(matter)
    check_can_hold(user=proposed_by, controller=matter.controller)
    if matter.liftings.open().filter(kind=Lifting.Kind.MATTER).exists():
        raise ProposedAlready
    return _proposed(
        Lifting(matter=matter, kind=Lifting.Kind.MATTER, reason=reason),
        proposed_by=proposed_by,
        now=now,
    )


@transaction.atomic
def take_back(*, lifting: Lifting, taken_back_by: User, now: datetime) -> None:
    """
    Take back one's own proposal; nothing is lifted by it.

    Raises NotEntitled, AnotherPerson, LiftingSettled.
    """
    matter = lock_matter(lifting.matter, is_open=False)
    check_can_hold(user=taken_back_by, controller=matter.controller)
    lifting = _waiting(lifting)
    if lifting.proposed_by_id != taken_back_by.pk:
        raise AnotherPerson
    lifting.taken_back_at = now
    lifting.save(update_fields=["taken_back_at"])
    _say(EventType.LIFTING_TAKEN_BACK, lifting, actor_for(user=taken_back_by, at=now), now)


@transaction.atomic
def agree_to_lifting(
    *, lifting: Lifting, agreed_by: User, keyring: Keyring, now: datetime
) -> Lifting:
    """
    Agree to a proposal as its second person: from here on its holds are being lifted.

    A criterion is dropped and a matter closed at once. The first holds are lifted at once too, the
    rest by a worker, batch by batch; each bars destruction until its batch. A hold that is placed
    on the same conversation from now on is another and stays.

    Raises:
        NotEntitled, SamePerson, LiftingSettled: nothing was lifted.
        KeyringUnavailable: nothing was lifted.
    """
    change_alone(lifting.matter.controller_id)
    matter = lock_matter(lifting.matter, is_open=False)
    check_can_hold(user=agreed_by, controller=matter.controller)
    lifting = _waiting(lifting)
    if lifting.proposed_by_id in (None, agreed_by.pk):
        raise SamePerson
    lifting.agreed_at, lifting.agreed_by = now, agreed_by
    lifting.save(update_fields=["agreed_at", "agreed_by"])
    lifting.total_count = _standing(lifting).update(lifting=lifting)
    lifting.save(update_fields=["total_count"])
    actor = actor_for(user=agreed_by, at=now)
    _say(EventType.LIFTING_AGREED, lifting, actor, now, conversations=lifting.total_count)
    _drop_criteria(lifting, actor=actor, now=now)
    if lifting.kind == Lifting.Kind.MATTER:
        _close(matter, lifting, actor=actor, now=now)
    _lift_some(lifting, keyring=keyring, now=now, batch_size=BATCH_SIZE)
    if lifting.finished_at is None:
        transaction.on_commit(lambda: current_app.send_task(TASK, retry=False), robust=True)
    return lifting


@transaction.atomic
def lift_next(*, now: datetime, keyring: Keyring, batch_size: int = BATCH_SIZE) -> UUID | None:
    """
    Lift the next holds of the lifting that was agreed to first.

    Each call is one transaction: killed, it leaves the rest to the next. Returns the lifting's id,
    or None when there is nothing to do.

    Raises KeyringUnavailable: try again later.
    """
    lifting = (
        Lifting.objects.unfinished()
        .select_for_update(skip_locked=True, of=("self",), no_key=True)
        .select_related("matter", "agreed_by")
        .order_by("agreed_at", "pk")
        .first()
    )
    if lifting is None:
        return None
    lock_matter(lifting.matter, is_open=False)
    _lift_some(lifting, keyring=keyring, now=now, batch_size=batch_size)
    return lifting.pk


def count_standing(*, lifting: Lifting) -> int:
    """How many holds the proposal would lift now."""
    return _standing(lifting).count()


def _proposed(lifting: Lifting, *, proposed_by: User, now: datetime) -> Lifting:
    lifting.proposed_at, lifting.proposed_by = now, proposed_by
    lifting.save(force_insert=True)
    _say(
        EventType.LIFTING_PROPOSED,
        lifting,
        actor_for(user=proposed_by, at=now),
        now,
        conversations=_standing(lifting).count(),
    )
    return lifting


def _waiting(lifting: Lifting) -> Lifting:
    row = Lifting.objects.open().select_for_update(no_key=True).filter(pk=lifting.pk).first()
    if row is None:
        raise LiftingSettled
    return row


def _standing(lifting: Lifting) -> HoldQuerySet:
    """The holds that the proposal would lift now."""
    holds = Hold.objects.staying().filter(matter=lifting.matter_id)
    if lifting.kind == Lifting.Kind.HOLDS:
        return holds.filter(pk__in=lifting.hold_ids)
    if lifting.kind == Lifting.Kind.CRITERION:
        return holds.filter(criterion=lifting.criterion_id)
    return holds


def _drop_criteria(lifting: Lifting, *, actor: Actor, now: datetime) -> None:
    if lifting.kind == Lifting.Kind.HOLDS:
        return
    standing = Criterion.objects.standing().filter(matter=lifting.matter_id)
    if lifting.criterion_id is not None:
        standing = standing.filter(pk=lifting.criterion_id)
    dropped = list(standing.values_list("pk", flat=True))
    standing.update(dropped_at=now)
    for criterion_id in dropped:
        append(
            event_type=EventType.CRITERION_DROPPED,
            actor=actor,
            now=now,
            log=lifting.matter.controller_id,
            target=Target("criterion", str(criterion_id)),
            facts={"matter": lifting.matter_id, "lifting": lifting.pk},
        )


def _close(matter: Matter, lifting: Lifting, *, actor: Actor, now: datetime) -> None:
    matter.closed_at = now
    matter.save(update_fields=["closed_at"])
    for waiting in matter.liftings.open():
        waiting.taken_back_at = now
        waiting.save(update_fields=["taken_back_at"])
        _say(EventType.LIFTING_TAKEN_BACK, waiting, actor, now)
    append(
        event_type=EventType.MATTER_CLOSED,
        actor=actor,
        now=now,
        log=matter.controller_id,
        target=Target("matter", str(matter.pk)),
        facts={"conversations": lifting.total_count},
    )


def _lift_some(lifting: Lifting, *, keyring: Keyring, now: datetime, batch_size: int) -> None:
    """Lift the next holds, one a conversation, and note how far it has come."""
    some = list(
        Hold.objects.active()
        .filter(lifting=lifting)
        .order_by("conversation_id", "pk")
        .distinct("conversation_id")[:batch_size]
    )
    if some:
        try:
            _lift(lifting, some, keyring=keyring, now=now)
        except (KeyMissing, KeyDoesNotFit):
            # A content key that is lost must not keep the others held.
            for hold in some:
                _lift_anyway(lifting, hold, keyring=keyring, now=now)
    lifting.lifted_count += len(some)
    lifting.heartbeat_at = now
    if not Hold.objects.active().filter(lifting=lifting).exists():
        lifting.finished_at = now
        _say(EventType.LIFTING_FINISHED, lifting, ACTOR, now, conversations=lifting.lifted_count)
    lifting.save(update_fields=["lifted_count", "heartbeat_at", "finished_at"])


def _lift_anyway(lifting: Lifting, hold: Hold, *, keyring: Keyring, now: datetime) -> None:
    try:
        _lift(lifting, [hold], keyring=keyring, now=now)
    except (KeyMissing, KeyDoesNotFit):
        _lift(lifting, [hold], keyring=None, now=now)


@transaction.atomic
def _lift(
    lifting: Lifting, holds: Sequence[Hold], *, keyring: Keyring | None, now: datetime
) -> None:
    """Lift holds on as many conversations, and end what the matter opened of these."""
    matter, agreed_by = lifting.matter, lifting.agreed_by
    assert agreed_by is not None
    ids = [hold.conversation_id for hold in holds]
    lifecycle.lock(conversation_ids=ids)
    # Lifted first: as long as the hold stands, the database lets nobody count it down.
    Hold.objects.filter(pk__in=[hold.pk for hold in holds]).update(
        lifted_at=now, lifted_by=agreed_by
    )
    lifecycle.count_holds(conversation_ids=ids, change=-1, keyring=keyring)
    held_still = set(
        matter.holds.active().filter(conversation__in=ids).values_list("conversation_id", flat=True)
    )
    free = [pk for pk in ids if pk not in held_still]
    end_for_matter(matter_id=matter.pk, conversation_ids=free, now=now)
    actor = actor_for(user=agreed_by, at=now)
    facts: dict[str, FactValue] = {"matter": matter.pk, "lifting": lifting.pk}
    append_many(events=hold_events(EventType.HOLD_LIFTED, matter, ids, facts, actor=actor, now=now))
    mirror.request(conversation_ids=ids)


def _say(
    event_type: EventType,
    lifting: Lifting,
    actor: Actor,
    now: datetime,
    *,
    conversations: int | None = None,
) -> None:
    append(
        event_type=event_type,
        actor=actor,
        now=now,
        log=lifting.matter.controller_id,
        target=Target("lifting", str(lifting.pk)),
        facts={
            "matter": lifting.matter_id,
            "kind": lifting.kind,
            "criterion": lifting.criterion_id,
            "conversations": conversations,
        },
    )
