"""The duty of confidentiality that a person accepts before she hears anything."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import get_language
from uuid_utils.compat import uuid7

from accounts.models.rights import DatedQuerySet
from accounts.models.user import User


class UndertakingText(models.Model):
    """One version of what is undertaken; the newest that is in force must be accepted."""

    version = models.PositiveIntegerField(primary_key=True)
    text_fi = models.TextField()
    text_sv = models.TextField()
    text_en = models.TextField()
    in_force_from = models.DateTimeField()
    valid_months = models.PositiveSmallIntegerField(default=12)

    class Meta:
        ordering = ["-version"]

    def __str__(self) -> str:
        return str(self.version)

    def in_language(self) -> str:
        """The text in the language of the reader."""
        return str(getattr(self, f"text_{(get_language() or 'fi')[:2]}", self.text_en))


class Undertaking(models.Model):
    """That a person accepted a version, and until when that binds as a condition of access."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="undertakings")
    text = models.ForeignKey(UndertakingText, on_delete=models.PROTECT)
    from_at = models.DateTimeField()
    until_at = models.DateTimeField()

    objects = DatedQuerySet["Undertaking"].as_manager()

    class Meta:
        indexes = [  # Conversation.objects.open_to: has she a current undertaking?
            models.Index(fields=["user", "until_at"], name="undertaking_by_person")
        ]
        constraints = [
            models.CheckConstraint(
                name="undertaking_ends_after_it_begins", condition=Q(until_at__gt=F("from_at"))
            )
        ]

    def __str__(self) -> str:
        return f"{self.user_id} v{self.text_id}"
