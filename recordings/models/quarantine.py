"""Where what cannot be captured waits, with the reason, until someone decides."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from uuid_utils.compat import uuid7

from accounts.models import Controller, Source


class QuarantinedItemQuerySet(models.QuerySet["QuarantinedItem"]):
    """Names for where an item stands."""

    def waiting(self) -> Self:
        """Those whose content exists and about which somebody is to decide."""
        return self.filter(key_destroyed_at=None)

    def due(self, *, at: datetime) -> Self:
        """Those waiting whose time to decide is over, of sources and companies released."""
        return self.waiting().filter(
            decide_before__lte=at,
            source__released_at__lte=at,
            controller__rules_released_at__lte=at,
        )

    def going(self) -> Self:
        """Those whose key is destroyed and whose object is not confirmed to be gone."""
        return self.filter(key_destroyed_at__isnull=False, destroyed_at=None)


class QuarantinedItem(models.Model):
    """
    One file, or one line of a manifest, that could not be captured.

    Its bytes lie encrypted in the store under a key of their own, closed to everybody.
    `content_hash` is keyed; the same bytes from the same source wait only once. Once destroyed,
    the row stays, without name and reason, so that its bytes do not come back.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="quarantined")
    controller = models.ForeignKey(Controller, on_delete=models.PROTECT, related_name="+")
    received_at = models.DateTimeField()
    decide_before = models.DateTimeField()
    reason = models.CharField(max_length=300, blank=True)
    content_hash = models.BinaryField(max_length=32)
    size_bytes = models.BigIntegerField()
    sealed_name = models.BinaryField()
    object_key = models.CharField(max_length=200)
    version_id = models.CharField(max_length=200)
    kek_name = models.CharField(max_length=100)
    wrapped_key = models.BinaryField(null=True)
    key_destroyed_at = models.DateTimeField(null=True, blank=True)
    destroyed_at = models.DateTimeField(null=True, blank=True)

    objects = QuarantinedItemQuerySet.as_manager()

    class Meta:
        ordering = ["-received_at"]
        indexes = [
            # due(), and the reminders of it
            models.Index(
                fields=["controller", "decide_before"],
                name="quarantined_by_deadline",
                condition=Q(key_destroyed_at=None),
            )
        ]
        constraints = [
            models.UniqueConstraint(
                name="quarantined_once",
                fields=["source", "content_hash", "reason"],
                condition=Q(key_destroyed_at=None),
            ),
            models.CheckConstraint(
                name="quarantined_key_gone_iff_destroyed_at",
                condition=Q(wrapped_key__isnull=False, key_destroyed_at=None)
                | Q(wrapped_key=None, key_destroyed_at__isnull=False),
            ),
            models.CheckConstraint(
                name="quarantined_destroyed_after_its_key",
                condition=Q(destroyed_at=None) | Q(key_destroyed_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)
