"""What people may do, each right with a beginning, an end and a reason."""

from __future__ import annotations

from datetime import datetime
from typing import Self, TypeVar

from django.db import models
from django.db.models import F, Q
from guardian.models import UserObjectPermissionBase
from uuid_utils.compat import uuid7

from accounts.models.organization import Controller, Purpose, Team
from accounts.models.user import User
from accounts.roles import Role

Row = TypeVar("Row", bound=models.Model)


class DatedQuerySet(models.QuerySet[Row]):
    """Rows that hold from `from_at` until just before `until_at`."""

    def valid(self, *, at: datetime) -> Self:
        """Those that hold at that time (half-open: from ≤ at < until)."""
        return self.filter(from_at__lte=at, until_at__gt=at)


class RoleAssignment(models.Model):
    """A role of a person, for one company or (controller empty) for all, between two times."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="role_assignments")
    role = models.CharField(max_length=30, choices=[(role, role.label) for role in Role])
    controller = models.ForeignKey(Controller, on_delete=models.PROTECT, null=True, blank=True)
    from_at = models.DateTimeField()
    until_at = models.DateTimeField()

    objects = DatedQuerySet["RoleAssignment"].as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="role_assignment_ends_after_it_begins", condition=Q(until_at__gt=F("from_at"))
            )
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.user_id}"


class TeamPermission(UserObjectPermissionBase):
    """
    That a person may hear a team's conversations for a purpose, between two times.

    Guardian's own rows know no dates and its `has_perm` would ignore ours: ask
    `TeamPermission.objects.valid(at=…)`, as `Conversation.objects.open_to` does.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    content_object = models.ForeignKey(
        Team, on_delete=models.CASCADE, db_column="team_id", related_name="user_permissions"
    )
    purpose = models.ForeignKey(Purpose, on_delete=models.PROTECT)
    from_at = models.DateTimeField()
    until_at = models.DateTimeField()
    reason = models.CharField(max_length=300)

    objects = DatedQuerySet["TeamPermission"].as_manager()  # type: ignore[assignment,misc]

    class Meta:
        indexes = [  # Conversation.objects.open_to: the teams of one person for one purpose, now
            models.Index(fields=["user", "purpose", "until_at"], name="team_permission_by_person"),
        ]
        constraints = [
            models.CheckConstraint(
                name="team_permission_ends_after_it_begins", condition=Q(until_at__gt=F("from_at"))
            )
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.content_object_id}"
