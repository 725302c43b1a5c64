"""Who took part in a conversation, and which team served her when."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from accounts.models import Controller, Queue, Team, User
from recordings.models.conversation import Conversation


class DataSubject(models.Model):
    """
    A random reference for one person as one controller knows her (GDPR Art. 4(1)).

    The audit log names this reference only. `identifier_hash` is a keyed hash of a telephone
    number or address; its key lies outside the database. Deleting the row leaves the log saying
    "somebody".
    """

    id = models.UUIDField(primary_key=True, editable=False)
    controller = models.ForeignKey(Controller, on_delete=models.PROTECT, related_name="+")
    identifier_hash = models.BinaryField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="data_subject_once_per_controller", fields=["controller", "identifier_hash"]
            )
        ]

    def __str__(self) -> str:
        return str(self.id)


class Party(models.Model):
    """Who took part. What she is called and reached by is encrypted under the content key."""

    class Role(models.TextChoices):
        """Which side of the desk."""

        AGENT = "agent", _("Agent")
        CUSTOMER = "customer", _("Customer")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.PROTECT, related_name="parties")
    position = models.PositiveSmallIntegerField()
    role = models.CharField(max_length=10, choices=Role)
    user = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="parties"
    )
    data_subject = models.ForeignKey(
        DataSubject, on_delete=models.SET_NULL, null=True, blank=True, related_name="parties"
    )
    sealed_details = models.BinaryField(null=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(name="party_position_once", fields=["conversation", "position"])
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.position}"


class Segment(models.Model):
    """A stretch of a conversation that one team served; scope is asked by it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.PROTECT, related_name="segments"
    )
    from_at = models.DateTimeField()
    until_at = models.DateTimeField()
    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, blank=True)
    queue = models.ForeignKey(Queue, on_delete=models.PROTECT, null=True, blank=True)
    agent = models.ForeignKey(Party, on_delete=models.SET_NULL, null=True, blank=True)

    class Meta:
        ordering = ["from_at"]
        indexes = [
            # open_to(): did one of these teams serve this conversation?
            models.Index(fields=["conversation", "team"], name="segment_by_conversation"),
            # recordings.queries.page: the newest of one team
            models.Index(fields=["team", "-from_at"], name="segment_by_team"),
        ]

    def __str__(self) -> str:
        return f"{self.from_at:%Y-%m-%d %H:%M} {self.team_id}"
