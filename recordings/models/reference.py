"""Which contracts and claims a conversation is about."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from recordings.models.conversation import Conversation


class BusinessReference(models.Model):
    """
    That a conversation is about one contract or claim.

    `reference_hash` is a keyed hash of its number; the key lies outside the database. By it an
    event such as the closing of the claim finds the conversation.
    """

    class Kind(models.TextChoices):
        """What the number is of."""

        CONTRACT = "contract", _("Contract")
        CLAIM = "claim", _("Claim")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.PROTECT, related_name="references"
    )
    kind = models.CharField(max_length=10, choices=Kind)
    reference_hash = models.BinaryField(max_length=32)

    class Meta:
        indexes = [
            # retention.queries.concerned_by: whom does an event concern?
            models.Index(fields=["reference_hash"], name="business_reference_by_hash")
        ]
        constraints = [
            models.UniqueConstraint(
                name="business_reference_once", fields=["conversation", "kind", "reference_hash"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.conversation_id}"
