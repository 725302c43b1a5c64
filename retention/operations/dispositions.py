"""Decides early, by two persons, about what waits: destroy it now, or wait once more as long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from celery import current_app
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import Controller, User
from accounts.queries import actor_for
from audit.events import Actor, EventType, FactValue, Target
from audit.operations import append
from recordings.keyring import KeyDoesNotFit, KeyMissing, Keyring
from recordings.models import Conversation, QuarantinedItem
from recordings.operations import quarantine_end, uses
from retention.models import About, Disposition
from retention.permissions import check_can_agree_to_dispose, check_can_dispose

ACTOR = Actor.system("disposition")
TASK = "retention.tasks.tend_undecided"


class DispositionRefused(Exception):
    """The decision cannot be made so; the sentence says why."""

    def __init__(self, sentence: Promise | str) -> None:
        super().__init__(sentence)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that waits for a decision."""

    about: About
    target: UUID
    controller: Controller
    decide_before: datetime


def find_waiting(*, about: About, target: UUID) -> Waiting | None:
    """Find the thing, if it still waits."""
    if about is About.CONVERSATION:
        rows = Conversation.objects.uncovered().exclude(destroy_after=None)
        conversation = rows.select_related("controller").filter(pk=target).first()
        if conversation is None or conversation.destroy_after is None:
            return None
        return Waiting(about, target, conversation.controller, conversation.destroy_after)
    items = QuarantinedItem.objects.waiting().select_related("controller")
    item = items.filter(pk=target).first()
    return Waiting(about, target, item.controller, item.decide_before) if item else None


@transaction.atomic
def propose(
    *,
    about: About,
    target: UUID,
    kind: Disposition.Kind,
    reason: str,
    subject_is_told: bool = False,
    user: User,
    now: datetime,
) -> Disposition:
    """
    Propose what to do with one thing that waits; nothing happens until another person agrees.

    `subject_is_told` says that the data subject is told of it, by whoever answers her.

    Raises NotEntitled, DispositionRefused.
    """
    waiting = find_waiting(about=about, target=target)
    if waiting is None:
        raise DispositionRefused(_("It does not wait for a decision any more."))
    check_can_dispose(user=user, controller=waiting.controller)
    if not reason.strip():
        raise DispositionRefused(_("A reason is needed."))
    if kind is Disposition.Kind.EXTEND and has_been_extended(target=target):
        raise DispositionRefused(_("It has been prolonged before: once is all."))
    try:
        with transaction.atomic():
            made = Disposition.objects.create(
                controller=waiting.controller,
                about=about,
                target=target,
                kind=kind,
                reason=reason.strip()[:500],
                subject_is_told=subject_is_told,
                proposed_at=now,
                proposed_by=user,
            )
    except IntegrityError as error:
        raise DispositionRefused(_("Something is proposed for it already.")) from error
    _say(EventType.DISPOSITION_PROPOSED, made, user=user, now=now, detail={"reason": made.reason})
    return made


@transaction.atomic
def agree(*, disposition: Disposition, user: User, now: datetime) -> None:
    """
    Agree to a proposal as its second person; a second time does nothing.

    Raises NotEntitled, DispositionRefused.
    """
    check_can_agree_to_dispose(user=user, controller=disposition.controller)
    if disposition.proposed_by_id == user.pk:
        raise DispositionRefused(_("Whoever proposed it cannot agree to it."))
    open_one = Disposition.objects.open().filter(pk=disposition.pk)
    if open_one.filter(agreed_at=None).update(agreed_at=now, agreed_by=user):
        _say(EventType.DISPOSITION_AGREED, disposition, user=user, now=now)
        transaction.on_commit(lambda: current_app.send_task(TASK, retry=False), robust=True)
    elif not open_one.exists():
        raise DispositionRefused(_("It was taken back or carried out meanwhile."))


@transaction.atomic
def take_back(*, disposition: Disposition, user: User, now: datetime) -> None:
    """
    End a proposal that nobody has agreed to yet; whoever may agree may also refuse.

    Raises NotEntitled, DispositionRefused.
    """
    check_can_agree_to_dispose(user=user, controller=disposition.controller)
    open_one = Disposition.objects.open().filter(pk=disposition.pk, agreed_at=None)
    if not open_one.update(ended_at=now):
        raise DispositionRefused(_("It was agreed to, taken back or carried out meanwhile."))
    _say(EventType.DISPOSITION_ENDED, disposition, user=user, now=now)


def carry_out(*, keyring: Keyring | None, now: datetime) -> int:
    """
    Let what two persons decided take effect; what is to be destroyed is due from then on.

    A hold or an open request bars it as everything else. A proposal about what does not wait any
    more is ended. Returns how many were carried out.

    Raises KeyringUnavailable: the rest waits.
    """
    open_ones = list(
        Disposition.objects.open().order_by("proposed_at").values_list("pk", flat=True)
    )
    return sum(_carry_out(pk, keyring=keyring, now=now) for pk in open_ones)


@transaction.atomic
def _carry_out(disposition_id: UUID, *, keyring: Keyring | None, now: datetime) -> bool:
    rows = Disposition.objects.open().filter(pk=disposition_id)
    decided = rows.select_for_update(skip_locked=True, of=("self",)).first()
    if decided is None:
        return False
    waiting = find_waiting(about=About(decided.about), target=decided.target)
    if waiting is not None and decided.agreed_at is None:
        return False
    is_done = waiting is not None and _move(
        waiting, until=_until(decided, waiting, now), keyring=keyring
    )
    if is_done:
        decided.done_at = now
    else:
        # Covered by a rule meanwhile, or gone: there is nothing left to decide.
        decided.ended_at = now
    decided.save(update_fields=["done_at", "ended_at"])
    append(
        event_type=EventType.DISPOSITION_DONE if is_done else EventType.DISPOSITION_ENDED,
        actor=ACTOR,
        now=now,
        log=decided.controller_id,
        target=Target(str(decided.about), str(decided.target)),
        facts=_facts(decided),
    )
    return is_done


def _until(decided: Disposition, waiting: Waiting, now: datetime) -> datetime:
    if decided.kind == Disposition.Kind.DESTROY:
        return min(now, waiting.decide_before)
    return waiting.decide_before + timedelta(days=settings.UNCOVERED_DECIDE_DAYS)


def _move(waiting: Waiting, *, until: datetime, keyring: Keyring | None) -> bool:
    if waiting.about is About.CONVERSATION:
        try:
            return uses.move_deadline(
                conversation_id=waiting.target, destroy_after=until, keyring=keyring
            )
        except (KeyMissing, KeyDoesNotFit):
            # A content key that is lost must not keep its conversation for ever.
            return uses.move_deadline(conversation_id=waiting.target, destroy_after=until)
    return quarantine_end.move_deadline(item_id=waiting.target, decide_before=until)


def open_disposition(*, target: UUID) -> Disposition | None:
    """What is proposed or agreed for the thing and not carried out, if anything is."""
    rows = Disposition.objects.open().filter(target=target)
    return rows.select_related("controller", "proposed_by", "agreed_by").first()


def has_been_extended(*, target: UUID) -> bool:
    """Whether the wait for a decision was prolonged before."""
    return Disposition.objects.filter(
        target=target, kind=Disposition.Kind.EXTEND, done_at__isnull=False
    ).exists()


def _say(
    event_type: EventType,
    disposition: Disposition,
    *,
    user: User,
    now: datetime,
    detail: dict[str, str] | None = None,
) -> None:
    append(
        event_type=event_type,
        actor=actor_for(user=user, at=now),
        now=now,
        log=disposition.controller_id,
        target=Target(str(disposition.about), str(disposition.target)),
        facts=_facts(disposition),
        detail=detail,
    )


def _facts(disposition: Disposition) -> dict[str, FactValue]:
    return {
        "kind": str(disposition.about),
        "action": str(disposition.kind),
        "subject_told": disposition.subject_is_told,
    }
