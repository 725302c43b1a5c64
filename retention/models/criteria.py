"""What a matter holds by what it is like, now and later."""

from __future__ import annotations

from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from uuid_utils.compat import uuid7

from accounts.models import Source, User
from recordings.models import Conversation
from retention.models.holds import Matter


class CriterionQuerySet(models.QuerySet["Criterion"]):
    """Names for where a criterion stands."""

    def standing(self) -> Self:
        """Those that hold what is captured from now on."""
        return self.filter(dropped_at=None)

    def unapplied(self) -> Self:
        """Those standing that have not yet gone through all that was there when they were set."""
        return self.standing().filter(applied_at=None)


class Criterion(models.Model):
    """
    Holds for a matter whatever matches all that it says, captured before or after it was set.

    It is never changed: to hold more, another is set; to hold less, two persons drop it. What it
    does not say matches everything. `teams` and `queues` ask for one segment with both;
    `agent` is a person's `reference`, `customer_hash` the keyed hash of an identifier. It is
    applied by conversation id: `reached` is the last one done, so that a killed pass goes on.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    matter = models.ForeignKey(Matter, on_delete=models.PROTECT, related_name="criteria")
    kinds = ArrayField(
        models.CharField(max_length=4, choices=Conversation.Kind), default=list, blank=True
    )
    teams = ArrayField(models.UUIDField(), default=list, blank=True)
    queues = ArrayField(models.UUIDField(), default=list, blank=True)
    source = models.ForeignKey(
        Source, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    ended_from = models.DateTimeField(null=True, blank=True)
    ended_until = models.DateTimeField(null=True, blank=True)
    # No foreign key: without the person's row it matches nobody, and never everybody.
    agent = models.UUIDField(null=True, blank=True)
    customer_hash = models.BinaryField(max_length=32, null=True, blank=True)
    set_at = models.DateTimeField()
    set_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    dropped_at = models.DateTimeField(null=True, blank=True)

    reached = models.UUIDField(null=True, blank=True)
    total_count = models.PositiveIntegerField(default=0)
    done_count = models.PositiveIntegerField(default=0)
    too_late_count = models.PositiveIntegerField(default=0)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    applied_at = models.DateTimeField(null=True, blank=True)

    objects = CriterionQuerySet.as_manager()

    class Meta:
        ordering = ["set_at"]

    def __str__(self) -> str:
        return str(self.id)
