"""Answers what a person may do by her dated roles."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.backends import BaseBackend

from accounts.models import Controller, User
from accounts.queries import roles_of
from accounts.roles import ROLES_BY_PERMISSION
from audit import clock


class RoleBackend(BaseBackend):
    """
    Holds a permission whoever has, now, a role that ROLES_BY_PERMISSION gives it to.

    The object is a controller or its id; None asks for the whole installation, which only a role
    without a controller reaches.
    """

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        """Say whether one of the person's roles holds the permission for that controller."""
        roles = ROLES_BY_PERMISSION.get(perm)
        if roles is None or not isinstance(user_obj, User) or not user_obj.is_active:
            return False
        if isinstance(obj, Controller):
            obj = obj.pk
        if obj is not None and not isinstance(obj, UUID):
            return False
        at = user_obj.asks_at or clock.now()
        return roles_of(user=user_obj, at=at).hold(roles=roles, controller_id=obj)
