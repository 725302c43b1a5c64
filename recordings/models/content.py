"""What was said or written: the pieces, what is derived from them, and the stored objects."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from recordings.models.conversation import Conversation


class StoredObject(models.Model):
    """
    One version of one object in the content bucket, encrypted before it left us.

    `legal_hold` is what the store was last told; `reconcile` compares it with what it says.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.PROTECT, related_name="stored_objects"
    )
    key = models.CharField(max_length=200)
    version_id = models.CharField(max_length=200)
    plain_size_bytes = models.BigIntegerField()
    stored_size_bytes = models.BigIntegerField()
    ciphertext_sha256 = models.BinaryField(max_length=32)
    # Salt and nonce prefix, as they stand before the first segment: no secret, and one read less.
    stream_header = models.BinaryField(max_length=40)
    legal_hold = models.BooleanField(default=False)

    class Meta:
        ordering = ["key"]
        constraints = [
            models.UniqueConstraint(name="stored_object_once", fields=["key", "version_id"])
        ]

    def __str__(self) -> str:
        return self.key


class Dialog(models.Model):
    """One piece of a conversation: a sound recording or a chat log."""

    class Kind(models.TextChoices):
        """What it is."""

        RECORDING = "recording", _("Recording")
        TEXT = "text", _("Chat log")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.PROTECT, related_name="dialogs")
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=10, choices=Kind)
    started_at = models.DateTimeField()
    duration_seconds = models.FloatField(null=True, blank=True)
    mediatype = models.CharField(max_length=100)
    codec = models.CharField(max_length=40, blank=True)
    sample_rate = models.PositiveIntegerField(null=True, blank=True)
    channels = models.PositiveSmallIntegerField(null=True, blank=True)
    channel_roles = models.JSONField(default=list, blank=True)
    sealed_name = models.BinaryField(null=True)
    content_hash = models.BinaryField(max_length=32)
    stored_object = models.OneToOneField(
        StoredObject, on_delete=models.PROTECT, related_name="dialog"
    )

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                name="dialog_position_once", fields=["conversation", "position"]
            )
        ]

    def __str__(self) -> str:
        return str(self.id)


class Rendition(models.Model):
    """What is derived from a dialog and shares its fate."""

    class Kind(models.TextChoices):
        """What it is for."""

        PLAYABLE = "playable", _("Playable sound")
        PEAKS = "peaks", _("Waveform")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    dialog = models.ForeignKey(Dialog, on_delete=models.CASCADE, related_name="renditions")
    kind = models.CharField(max_length=10, choices=Kind)
    mediatype = models.CharField(max_length=100)
    # Peaks are small and lie here, encrypted under the content key; sound lies in the store.
    sealed_body = models.BinaryField(null=True)
    stored_object = models.OneToOneField(
        StoredObject, on_delete=models.PROTECT, null=True, blank=True, related_name="rendition"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(name="rendition_once_per_kind", fields=["dialog", "kind"]),
            models.CheckConstraint(
                name="rendition_lies_in_one_place",
                condition=models.Q(sealed_body=None, stored_object__isnull=False)
                | models.Q(sealed_body__isnull=False, stored_object=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.dialog_id}"
