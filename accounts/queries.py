"""Questions about people and what they may do."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Subquery

from accounts.models import (
    Controller,
    Purpose,
    RoleAssignment,
    Source,
    Team,
    TeamPermission,
    Undertaking,
    UndertakingText,
    User,
)
from accounts.roles import ROLES_BY_PERMISSION, ROLES_BY_PURPOSE, Role
from audit.events import Actor


@dataclass(frozen=True, slots=True)
class HeldRoles:
    """The roles a person holds at one time, as pairs of role and controller (None: all)."""

    pairs: frozenset[tuple[str, UUID | None]]

    def hold(self, *, roles: Collection[Role], controller_id: UUID | None) -> bool:
        """Say whether one of the roles is held for that controller, or for all of them."""
        return any(
            role in roles and held_for in (None, controller_id) for role, held_for in self.pairs
        )

    def hold_anywhere(self, *, roles: Collection[Role]) -> bool:
        """Say whether one of the roles is held for any controller."""
        return any(role in roles for role, _ in self.pairs)

    @property
    def names(self) -> list[str]:
        """The roles, each once, in order."""
        return sorted({role for role, _ in self.pairs})


def roles_of(*, user: User, at: datetime) -> HeldRoles:
    """
    Find the roles a person holds at that time.

    As Django does with its own permissions, the answer is kept on the user object, which lives as
    long as one request; it chooses pages and names actors. Content is opened by SQL alone.
    """
    known: tuple[datetime, HeldRoles] | None = getattr(user, "_held_roles", None)
    if known is not None and known[0] == at:
        return known[1]
    rows = RoleAssignment.objects.valid(at=at).filter(user=user, user__is_active=True)
    held = HeldRoles(frozenset(rows.values_list("role", "controller_id")))
    user._held_roles = (at, held)  # type: ignore[attr-defined]
    return held


def controllers_for(*, user: User, permission: str, at: datetime) -> list[Controller]:
    """Find the controllers for which the person holds the permission, by name."""
    held = roles_of(user=user, at=at)
    roles = ROLES_BY_PERMISSION[permission]
    return [
        controller
        for controller in Controller.objects.all()
        if held.hold(roles=roles, controller_id=controller.pk)
    ]


def purposes_for(*, user: User, at: datetime) -> list[Purpose]:
    """
    Find the purposes that the person's roles serve at all, coaching first.

    Kept on the user object as the roles are: page, menu and view all ask.
    """
    known: tuple[datetime, list[Purpose]] | None = getattr(user, "_served_purposes", None)
    if known is not None and known[0] == at:
        return known[1]
    held = roles_of(user=user, at=at)
    codes = [code for code, roles in ROLES_BY_PURPOSE.items() if held.hold_anywhere(roles=roles)]
    found = {purpose.code: purpose for purpose in Purpose.objects.filter(code__in=codes)}
    served = [found[code] for code in codes if code in found]
    user._served_purposes = (at, served)  # type: ignore[attr-defined]
    return served


def current_text(*, at: datetime) -> UndertakingText | None:
    """Find the version of the undertaking that must be accepted at that time."""
    return UndertakingText.objects.filter(in_force_from__lte=at).order_by("-version").first()


def has_undertaken(*, user: User, at: datetime) -> bool:
    """Say whether the person has a current undertaking of the version in force."""
    newest = UndertakingText.objects.filter(in_force_from__lte=at).order_by("-version")
    return (
        Undertaking.objects.valid(at=at)
        .filter(user=user, text_id=Subquery(newest.values("version")[:1]))
        .exists()
    )


def last_undertaking(*, user: User) -> Undertaking | None:
    """Find what the person accepted last, be it over or not."""
    return user.undertakings.order_by("-from_at").first()


def team_permissions_of(*, user: User, purpose: Purpose, at: datetime) -> list[TeamPermission]:
    """Find the person's permissions on teams for the purpose at that time, by team name."""
    rows = TeamPermission.objects.valid(at=at).filter(
        user=user, purpose=purpose, permission__codename="hear_team"
    )
    return list(rows.select_related("content_object").order_by("content_object__name"))


def ended_team_permissions_of(*, user: User, at: datetime) -> list[TeamPermission]:
    """Find the person's permissions that have ended, the last first."""
    rows = TeamPermission.objects.filter(user=user, until_at__lte=at)
    return list(rows.select_related("content_object", "purpose").order_by("-until_at"))


def names_by_reference(references: Iterable[str]) -> dict[str, str]:
    """Find the names behind references of the audit log: people, companies, teams, sources."""
    wanted = []
    for reference in references:
        try:
            wanted.append(UUID(reference))
        except ValueError:
            continue
    names: dict[str, str] = {}
    for rows, key, name in (
        (User.objects.filter(reference__in=wanted), "reference", "full_name"),
        (Controller.objects.filter(pk__in=wanted), "pk", "name"),
        (Team.objects.filter(pk__in=wanted), "pk", "name"),
        (Source.objects.filter(pk__in=wanted), "pk", "name"),
    ):
        names |= {str(reference): text for reference, text in rows.values_list(key, name)}
    return names


def actor_for(*, user: User, at: datetime) -> Actor:
    """Name the person for the audit log: her random reference and her roles, never her name."""
    roles = roles_of(user=user, at=at).names
    return Actor(kind="user", reference=str(user.reference), role=".".join(roles) or None)
