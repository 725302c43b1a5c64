"""What bars destruction: matters, and the holds placed for them."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q
from uuid_utils.compat import uuid7

from accounts.models import Controller, User
from recordings.models import Conversation


class Matter(models.Model):
    """
    Why destruction is barred, such as a dispute; opens what it holds to its handlers.

    From `review_at` on it is to be looked at again: does it still need all that it holds?
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    controller = models.ForeignKey(Controller, on_delete=models.PROTECT, related_name="matters")
    code = models.SlugField(max_length=50)
    name = models.CharField(max_length=200)
    reason = models.TextField()
    opened_at = models.DateTimeField()
    opened_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    review_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-opened_at"]
        indexes = [
            # retention.holding.matters_of: newest first
            models.Index(fields=["-opened_at", "-id"], name="matter_newest"),
        ]
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


class MatterReview(models.Model):
    """Somebody looked at a matter again, and said why it goes on until when."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    matter = models.ForeignKey(Matter, on_delete=models.PROTECT, related_name="reviews")
    reviewed_at = models.DateTimeField()
    reviewed_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    next_at = models.DateTimeField()
    reason = models.TextField()

    class Meta:
        ordering = ["-reviewed_at"]

    def __str__(self) -> str:
        return f"{self.matter_id} {self.reviewed_at:%Y-%m-%d}"


class HoldQuerySet(models.QuerySet["Hold"]):
    """Names for where a hold stands."""

    def active(self) -> Self:
        """Those that bar destruction."""
        return self.filter(lifted_at=None)

    def staying(self) -> Self:
        """Those that nobody has agreed to lift."""
        return self.active().filter(lifting=None)


class Hold(models.Model):
    """
    The bar itself: while it is not lifted, the conversation cannot be destroyed by any path.

    It was placed by hand, or for a `criterion`; each of these holds for itself. `lifting` is what
    two persons agreed to: from then on it is being lifted.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    matter = models.ForeignKey(Matter, on_delete=models.PROTECT, related_name="holds")
    conversation = models.ForeignKey(Conversation, on_delete=models.PROTECT, related_name="holds")
    placed_at = models.DateTimeField()
    placed_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    criterion = models.ForeignKey(
        "retention.Criterion",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="holds",
        db_index=False,  # hold_of_criterion is one
    )
    lifting = models.ForeignKey(
        "retention.Lifting",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="holds",
        db_index=False,  # hold_to_lift is one
    )
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    objects = HoldQuerySet.as_manager()

    class Meta:
        ordering = ["-placed_at"]
        indexes = [
            # the trigger that refuses to withdraw what is held
            models.Index(fields=["conversation"], name="hold_active", condition=Q(lifted_at=None)),
            # the page of one matter
            models.Index(fields=["matter", "-placed_at", "-id"], name="hold_of_matter"),
            # operations.criteria.apply_next: what the criterion has not placed yet
            models.Index(
                fields=["criterion", "conversation"],
                name="hold_of_criterion",
                condition=Q(criterion__isnull=False),
            ),
            # operations.liftings.lift_next
            models.Index(
                fields=["lifting", "conversation"],
                name="hold_to_lift",
                condition=Q(lifting__isnull=False, lifted_at=None),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                name="hold_once_per_matter",
                fields=["matter", "conversation", "criterion"],
                condition=Q(lifted_at=None, lifting=None),
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{self.matter_id} {self.conversation_id}"
