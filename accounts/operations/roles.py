"""Giving roles and teams to people, and taking them back."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import Permission
from django.db import transaction

from accounts.models import Controller, Purpose, RoleAssignment, Team, TeamPermission, User
from accounts.roles import Role
from audit.events import Actor, EventType, Target
from audit.operations import append


@transaction.atomic
def assign_role(
    *,
    user: User,
    role: Role,
    controller: Controller | None,
    until_at: datetime,
    actor: Actor,
    now: datetime,
) -> RoleAssignment:
    """Give the person a role from now until a date, for one company or (None) for all."""
    assignment = RoleAssignment.objects.create(
        user=user, role=role, controller=controller, from_at=now, until_at=until_at
    )
    append(
        event_type=EventType.ROLE_ASSIGNED,
        actor=actor,
        now=now,
        log=controller.pk if controller else None,
        target=Target("user", str(user.reference)),
        facts={"role": role.value, "from": now, "until": until_at},
    )
    return assignment


@transaction.atomic
def grant_team(
    *,
    user: User,
    team: Team,
    purpose: Purpose,
    until_at: datetime,
    reason: str,
    actor: Actor,
    now: datetime,
) -> TeamPermission:
    """Let the person hear the team's conversations for the purpose, from now until a date."""
    permission = TeamPermission.objects.create(
        user=user,
        content_object=team,
        permission=Permission.objects.get(codename="hear_team", content_type__app_label="accounts"),
        purpose=purpose,
        from_at=now,
        until_at=until_at,
        reason=reason,
    )
    append(
        event_type=EventType.TEAM_PERMISSION_GRANTED,
        actor=actor,
        now=now,
        log=team.employer_id,
        target=Target("user", str(user.reference)),
        purpose=purpose.code,
        facts={"team": team.pk, "from": now, "until": until_at},
        detail={"reason": reason},
    )
    return permission


@transaction.atomic
def revoke_team(*, permission: TeamPermission, actor: Actor, now: datetime) -> None:
    """End the permission now; one that has ended already stays as it is."""
    locked = TeamPermission.objects.select_for_update().get(pk=permission.pk)
    if locked.until_at <= now:
        return
    TeamPermission.objects.filter(pk=locked.pk).update(until_at=now)
    append(
        event_type=EventType.TEAM_PERMISSION_REVOKED,
        actor=actor,
        now=now,
        log=locked.content_object.employer_id,
        target=Target("user", str(locked.user.reference)),
        purpose=locked.purpose.code,
        facts={"team": locked.content_object_id},
    )
