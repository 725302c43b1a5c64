"""Where what cannot be captured waits, with the reason, until someone decides."""

from __future__ import annotations

from django.db import models
from uuid_utils.compat import uuid7

from accounts.models import Controller, Source


class QuarantinedItem(models.Model):
    """
    One file, or one line of a manifest, that could not be captured.

    Its bytes lie encrypted in the store under a key of their own, closed to everybody.
    `content_hash` is keyed; the same bytes from the same source wait only once.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="quarantined")
    controller = models.ForeignKey(Controller, on_delete=models.PROTECT, related_name="+")
    received_at = models.DateTimeField()
    decide_before = models.DateTimeField()
    reason = models.CharField(max_length=300)
    content_hash = models.BinaryField(max_length=32)
    size_bytes = models.BigIntegerField()
    sealed_name = models.BinaryField()
    object_key = models.CharField(max_length=200)
    version_id = models.CharField(max_length=200)
    kek_name = models.CharField(max_length=100)
    wrapped_key = models.BinaryField()

    class Meta:
        ordering = ["-received_at"]
        constraints = [
            models.UniqueConstraint(
                name="quarantined_once", fields=["source", "content_hash", "reason"]
            )
        ]

    def __str__(self) -> str:
        return str(self.id)
