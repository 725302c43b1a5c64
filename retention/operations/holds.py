"""Opens matters, names their handlers, places holds, and looks at matters again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import Controller, User
from accounts.queries import actor_for
from audit.events import EventType, Target
from audit.operations import append
from recordings.keyring import Keyring
from recordings.models import NO_END
from recordings.operations.matter_uses import permit_for_matter
from retention.due_dates import due_at
from retention.models import Matter, MatterHandler, MatterReview
from retention.operations.placing import NotOfThisCompany, PlacedHolds, TooLate, place
from retention.operations.rule_lock import change_alone
from retention.permissions import check_can_hold

__all__ = [
    "MatterClosed",
    "NotOfThisCompany",
    "PlacedHolds",
    "ReviewNotInTime",
    "TooLate",
    "add_handler",
    "latest_review",
    "lock_matter",
    "open_matter",
    "place_hold",
    "review_matter",
]


class MatterClosed(Exception):
    """The matter is closed: it holds nothing any more, and nothing new."""

    def __init__(self) -> None:
        super().__init__(_("The matter is closed."))


class ReviewNotInTime(Exception):
    """A matter is to be looked at again at a time that is past, or too far off."""

    def __init__(self, months: int) -> None:
        super().__init__(
            _("A matter is looked at again at a time to come, within %(months)d months.")
            % {"months": months}
        )


@transaction.atomic
def open_matter(
    *,
    controller: Controller,
    code: str,
    name: str,
    reason: str,
    review_at: datetime,
    opened_by: User,
    now: datetime,
) -> Matter:
    """
    Open a matter, for which holds can be placed, to be looked at again at `review_at`.

    Raises NotEntitled; ReviewNotInTime; IntegrityError if the company has a matter of that code.
    """
    check_can_hold(user=opened_by, controller=controller)
    _check_review(controller, review_at, now=now)
    matter = Matter.objects.create(
        controller=controller,
        code=code,
        name=name,
        reason=reason,
        opened_at=now,
        opened_by=opened_by,
        review_at=review_at,
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
    # A capture that a criterion of the matter is about to hold reads the handlers before or after.
    change_alone(matter.controller_id)
    matter = lock_matter(matter)
    check_can_hold(user=added_by, controller=matter.controller)
    named, is_new = MatterHandler.objects.get_or_create(
        matter=matter, user=handler, defaults={"named_at": now}
    )
    if not is_new:
        return named
    held = matter.holds.active().values_list("conversation_id", flat=True)
    permit_for_matter(
        conversation_ids=list(set(held)),
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
    destroyed the hold comes too late, which is said and logged. A second time changes nothing;
    what a criterion of the matter holds is held once more, for itself. The store is told after
    commit.

    Raises:
        NotEntitled, MatterClosed, NotOfThisCompany: nothing was held.
        KeyringUnavailable, KeyMissing, KeyDoesNotFit: nothing was held.
    """
    matter = lock_matter(matter)
    check_can_hold(user=placed_by, controller=matter.controller)
    return place(
        matter=matter,
        criterion=None,
        conversation_ids=conversation_ids,
        placed_by=placed_by,
        actor=actor_for(user=placed_by, at=now),
        keyring=keyring,
        now=now,
    )


@transaction.atomic
def review_matter(
    *, matter: Matter, next_at: datetime, reason: str, reviewed_by: User, now: datetime
) -> MatterReview:
    """
    Say that the matter was looked at again, why it goes on, and until when.

    Raises NotEntitled, MatterClosed, ReviewNotInTime.
    """
    matter = lock_matter(matter)
    check_can_hold(user=reviewed_by, controller=matter.controller)
    _check_review(matter.controller, next_at, now=now)
    matter.review_at = next_at
    matter.save(update_fields=["review_at"])
    append(
        event_type=EventType.MATTER_REVIEWED,
        actor=actor_for(user=reviewed_by, at=now),
        now=now,
        log=matter.controller_id,
        target=Target("matter", str(matter.pk)),
        facts={"until": next_at},
    )
    return MatterReview.objects.create(
        matter=matter, reviewed_at=now, reviewed_by=reviewed_by, next_at=next_at, reason=reason
    )


def latest_review(controller: Controller, *, now: datetime) -> datetime:
    """The latest time to which a matter of the company may be left unlooked at."""
    return due_at(
        trigger_at=now,
        months=settings.MATTER_REVIEW_MONTHS,
        days=0,
        zone=ZoneInfo(controller.time_zone),
    )


def lock_matter(matter: Matter, *, is_open: bool = True) -> Matter:
    """
    Lock the matter's row, which all its deeds lock first; captures that refer to it go on.

    Raises MatterClosed unless told that it need not be open.
    """
    locked = Matter.objects.select_for_update(of=("self",), no_key=True)
    row = locked.select_related("controller").get(pk=matter.pk)
    if is_open and row.closed_at is not None:
        raise MatterClosed
    return row


def _check_review(controller: Controller, at: datetime, *, now: datetime) -> None:
    if not now < at <= latest_review(controller, now=now):
        raise ReviewNotInTime(settings.MATTER_REVIEW_MONTHS)
