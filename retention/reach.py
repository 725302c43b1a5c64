"""Who could reach a conversation: whom to ask about, and what the access rule says of each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from accounts.models import Purpose, TeamPermission, User
from recordings.models import Conversation
from recordings.operations.matter_uses import PURPOSE_CODE
from retention.explanation import Reach
from retention.history import Standing, holds_at
from retention.models import Matter, MatterHandler

_NONE = Q(pk__in=[])


def reach_of(
    conversation: Conversation, *, at: datetime, standing: Standing | None = None
) -> tuple[Reach, ...]:
    """
    Who could reach the content at that time, by person and purpose.

    Team permissions and uses written for one person say whom to ask about; the access rule itself
    answers, person by person. Given how the conversation stood at a time that is past, it is asked
    with the uses of that time, those for a person by the holds and handlers of then.
    """
    for_one = _by_use(conversation, at) if standing is None else _by_matter(conversation, at)
    asked = _by_team(conversation, at) | for_one
    users = User.objects.in_bulk([user for user, _purpose in asked])
    purposes = Purpose.objects.in_bulk([purpose for _user, purpose in asked])
    return tuple(
        reach
        for (user_id, purpose_id), reach in asked.items()
        if _is_open(
            conversation,
            user=users[user_id],
            purpose=purposes[purpose_id],
            at=at,
            standing=standing,
            through=reach.through,
        )
    )


def _is_open(
    conversation: Conversation,
    *,
    user: User,
    purpose: Purpose,
    at: datetime,
    standing: Standing | None,
    through: str,
) -> bool:
    row = Conversation.objects.filter(pk=conversation.pk)
    if standing is None:
        return row.open_to(user=user, purpose=purpose, at=at).exists()
    if not standing.is_kept or standing.restricted_at or standing.closed_at:
        return False
    use = standing.uses.get(purpose.pk)
    is_current = use is not None and use.from_at <= at < use.until_at
    return row.open_by(
        user=user,
        purpose=purpose,
        at=at,
        for_anybody=~_NONE if is_current else _NONE,
        for_her=~_NONE if through == "matter" else _NONE,
    ).exists()


def _by_team(conversation: Conversation, at: datetime) -> dict[tuple[UUID, UUID], Reach]:
    permissions = TeamPermission.objects.valid(at=at).filter(
        content_object__in=conversation.segments.values("team"), permission__codename="hear_team"
    )
    return {
        (permission.user_id, permission.purpose_id): Reach(
            name=permission.user.full_name,
            reference=permission.user.reference,
            purpose=permission.purpose.code,
            through="team",
            of=permission.content_object.name,
            until_at=permission.until_at,
        )
        for permission in permissions.select_related("user", "purpose", "content_object").order_by(
            "user__full_name", "user_id", "purpose__code", "until_at", "pk"
        )
    }


def _by_use(conversation: Conversation, at: datetime) -> dict[tuple[UUID, UUID], Reach]:
    uses = conversation.permitted_uses.filter(
        only_for__isnull=False, from_at__lte=at, until_at__gt=at
    ).select_related("only_for", "purpose")
    matters = Matter.objects.in_bulk([use.authority for use in uses])
    return _through_matters(
        (use.only_for, matters[use.authority], use.purpose)
        for use in uses
        if use.only_for is not None and use.authority in matters
    )


def _by_matter(conversation: Conversation, at: datetime) -> dict[tuple[UUID, UUID], Reach]:
    matters = (
        holds_at(conversation, at=at)
        .filter(Q(lifted_at=None) | Q(lifted_at__gt=at))
        .values("matter")
    )
    handlers = MatterHandler.objects.filter(matter__in=matters, named_at__lte=at)
    purpose = Purpose.objects.filter(code=PURPOSE_CODE).first()
    return _through_matters(
        (handler.user, handler.matter, purpose)
        for handler in handlers.select_related("user", "matter")
        if purpose is not None
    )


def _through_matters(
    found: Iterable[tuple[User, Matter, Purpose]],
) -> dict[tuple[UUID, UUID], Reach]:
    ordered = sorted(found, key=lambda one: (one[0].full_name, one[0].pk, one[1].name, one[1].pk))
    return {
        (user.pk, purpose.pk): Reach(
            name=user.full_name,
            reference=user.reference,
            purpose=purpose.code,
            through="matter",
            of=matter.name,
            until_at=None,
        )
        for user, matter, purpose in ordered
    }
