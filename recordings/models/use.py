"""What a conversation may be used for, from when until when, and on what authority."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from accounts.models import Purpose, User
from recordings.models.conversation import Conversation

# The end of a use that lasts until somebody ends it, such as a matter's.
NO_END = datetime(9999, 12, 31, tzinfo=UTC)


class PermittedUseQuerySet(models.QuerySet["PermittedUse"]):
    """Names for the times of a use."""

    def current(self, *, purpose: Purpose, at: datetime) -> Self:
        """Those for the purpose that have begun and not ended (from ≤ at < until)."""
        return self.filter(purpose=purpose, from_at__lte=at, until_at__gt=at)


class PermittedUse(models.Model):
    """
    This conversation may be used for this purpose, from … until …, on this authority.

    Written by retention, asked by access. `authority` is the rule version or the matter, by
    identifier, since access never depends on retention. With `only_for` it opens to that person
    alone.
    """

    class AuthorityKind(models.TextChoices):
        """What permits it."""

        RULE = "rule", _("Retention rule")
        MATTER = "matter", _("Matter")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.PROTECT, related_name="permitted_uses"
    )
    purpose = models.ForeignKey(Purpose, on_delete=models.PROTECT)
    from_at = models.DateTimeField()
    until_at = models.DateTimeField()
    authority_kind = models.CharField(max_length=10, choices=AuthorityKind)
    authority = models.UUIDField()
    only_for = models.ForeignKey(
        User, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )

    objects = PermittedUseQuerySet.as_manager()

    class Meta:
        indexes = [
            # open_to(): may this conversation be used for this purpose now?
            models.Index(
                fields=["conversation", "purpose", "until_at"], name="permitted_use_current"
            )
        ]
        constraints = [
            models.UniqueConstraint(
                name="permitted_use_once",
                fields=["conversation", "purpose", "authority", "only_for"],
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="permitted_use_ends_after_it_begins",
                condition=Q(until_at__gt=F("from_at")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose_id} until {self.until_at:%Y-%m-%d %H:%M}"
