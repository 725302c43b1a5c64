"""What is remembered of key-encryption keys: they themselves lie in the keyring."""

from __future__ import annotations

from django.db import models
from uuid_utils.compat import uuid7


class Rewrap(models.Model):
    """
    That on this day a content key was wrapped anew under another key than this one.

    A backup from before still needs it. Written by a trigger, at least once a day and key.

    Source: design, *Content*.
    """

    id = models.BigAutoField(primary_key=True)
    kek_name = models.CharField(max_length=100)
    day = models.DateField()

    class Meta:
        # operations.keks.destroy_past, and the trigger
        indexes = [models.Index(fields=["kek_name", "day"], name="rewrap_by_kek")]

    def __str__(self) -> str:
        return f"{self.kek_name} {self.day}"


class DestroyedKek(models.Model):
    """A key-encryption key that was destroyed, and when the last copy in escrow is gone too."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kek_name = models.CharField(max_length=100)
    destroyed_at = models.DateTimeField()
    last_copy_lapses_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.kek_name
