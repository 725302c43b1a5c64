"""What bars destruction: matters, and the holds placed for them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from uuid_utils.compat import uuid7

from accounts.models import Controller, User
from recordings.models import Conversation


class Matter(models.Model):
    """Why destruction is barred, such as a dispute; opens what it holds to its handlers."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    controller = models.ForeignKey(Controller, on_delete=models.PROTECT, related_name="matters")
    code = models.SlugField(max_length=50)
    name = models.CharField(max_length=200)
    reason = models.TextField()
    opened_at = models.DateTimeField()
    opened_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(name="matter_code_once", fields=["controller", "code"])
        ]

    def __str__(self) -> str:
        return self.name


class MatterHandler(models.Model):
    """A person named to handle a matter; she hears what it holds, nobody else by it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    matter = models.ForeignKey(Matter, on_delete=models.CASCADE, related_name="handlers")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    named_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="matter_handler_once", fields=["matter", "user"])
        ]

    def __str__(self) -> str:
        return f"{self.matter_id} {self.user_id}"


class Hold(models.Model):
    """The bar itself: while it is not lifted, the conversation cannot be destroyed by any path."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    matter = models.ForeignKey(Matter, on_delete=models.PROTECT, related_name="holds")
    conversation = models.ForeignKey(Conversation, on_delete=models.PROTECT, related_name="holds")
    placed_at = models.DateTimeField()
    placed_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        ordering = ["-placed_at"]
        indexes = [
            # the trigger that refuses to withdraw what is held; the page of one matter
            models.Index(fields=["conversation"], name="hold_active", condition=Q(lifted_at=None))
        ]
        constraints = [
            models.UniqueConstraint(
                name="hold_once_per_matter",
                fields=["matter", "conversation"],
                condition=Q(lifted_at=None),
            )
        ]

    def __str__(self) -> str:
        return f"{self.matter_id} {self.conversation_id}"
