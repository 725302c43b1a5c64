"""What happened to contracts and claims, as far as retention is counted from it."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import models
from uuid_utils.compat import uuid7

from accounts.models import Controller
from recordings.models import BusinessReference


class BusinessEventQuerySet(models.QuerySet["BusinessEvent"]):
    """Names for which events count."""

    def newest_first(self, *, known_at: datetime | None = None) -> Self:
        """Those that had arrived by that time, or all; what was recorded last comes first."""
        arrived = self if known_at is None else self.filter(recorded_at__lte=known_at)
        return arrived.order_by("-recorded_at", "-pk")


class BusinessEvent(models.Model):
    """
    That one contract ended or one claim was closed, as another system said.

    `reference_hash` is a keyed hash of its number. Of several for one reference the one that was
    recorded last counts, so that a wrong one is corrected by another.
    """

    class Type(models.TextChoices):
        """What can happen; a rule's trigger names it."""

        CONTRACT_ENDED = "contract.ended"
        CLAIM_CLOSED = "claim.closed"

    # What the number is of, by type of event.
    REFERS_TO = {
        Type.CONTRACT_ENDED: BusinessReference.Kind.CONTRACT,
        Type.CLAIM_CLOSED: BusinessReference.Kind.CLAIM,
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    controller = models.ForeignKey(Controller, on_delete=models.PROTECT, related_name="+")
    event_type = models.CharField(max_length=30, choices=Type)
    reference_hash = models.BinaryField(max_length=32)
    happened_at = models.DateTimeField()
    recorded_at = models.DateTimeField()

    objects = BusinessEventQuerySet.as_manager()

    class Meta:
        ordering = ["-recorded_at"]
        indexes = [
            # retention.queries.events_of: what has happened to what a conversation is about?
            models.Index(fields=["reference_hash", "event_type"], name="business_event_by_hash")
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.happened_at:%Y-%m-%d}"
