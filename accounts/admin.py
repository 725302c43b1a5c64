"""The administrator's site: people and rights are shown, and changed by operations only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts import models


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows rows; what changes them stands in operations, with its event."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Say no."""
        return False


@admin.register(models.User)
class UserAdmin(ReadOnlyAdmin):
    """People, without their passwords."""

    list_display = ["full_name", "email", "employer", "is_active"]
    search_fields = ["full_name", "email"]
    exclude = ["password"]


admin.site.register(
    [
        models.Controller,
        models.Team,
        models.Queue,
        models.Purpose,
        models.Source,
        models.RoleAssignment,
        models.TeamPermission,
        models.UndertakingText,
    ],
    ReadOnlyAdmin,
)
