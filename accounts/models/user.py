"""The people who sign in, and the agents who are heard."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from uuid import uuid4

from django.contrib.auth import load_backend
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from uuid_utils.compat import uuid7

from accounts.roles import ROLES_BY_PERMISSION

ROLE_BACKEND = "accounts.backends.RoleBackend"


class UserManager(BaseUserManager["User"]):
    """Makes users by e-mail address, and finds them with the company that employs them."""

    def get_queryset(self) -> models.QuerySet[User]:
        """Join the employer, whom the menu of every page names."""
        return super().get_queryset().select_related("employer")

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Make a user; without a password she cannot sign in."""
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Make one who may administer, and by that hears nothing (law 10)."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """
    A person who works here.

    `reference` stands for her in the audit log: random, so that erasing this row leaves the log
    saying "some coach". `login` is what phone systems call her as an agent.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    reference = models.UUIDField(unique=True, default=uuid4, editable=False)
    email = models.EmailField(unique=True)
    full_name = models.CharField(max_length=200)
    login = models.CharField(max_length=100, null=True, blank=True, unique=True)
    employer = models.ForeignKey(
        "accounts.Controller", on_delete=models.PROTECT, null=True, blank=True, related_name="staff"
    )
    language = models.CharField(max_length=2, default="fi")
    uses_letter_keys = models.BooleanField(default=True)
    skips_silence = models.BooleanField(default=False)
    playback_speed = models.DecimalField(max_digits=3, decimal_places=2, default=1)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)

    # The time a request came, put here by the middleware for checks that are given no time.
    asks_at: datetime | None = None

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["full_name"]

    class Meta:
        ordering = ["full_name"]

    def __str__(self) -> str:
        return self.full_name

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Answer by dated roles for our own permissions; being superuser counts for others only."""
        if perm in ROLES_BY_PERMISSION:
            return bool(load_backend(ROLE_BACKEND).has_perm(self, perm, obj))
        return super().has_perm(perm, obj)
