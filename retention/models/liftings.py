"""How a matter comes to hold less: proposed by one person, agreed to by another."""

from __future__ import annotations

from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from accounts.models import User
from retention.models.criteria import Criterion
from retention.models.holds import Matter


class LiftingQuerySet(models.QuerySet["Lifting"]):
    """Names for where a lifting stands."""

    def open(self) -> Self:
        """Those that wait for a second person."""
        return self.filter(agreed_at=None, taken_back_at=None)

    def unfinished(self) -> Self:
        """Those agreed to whose holds are not all lifted yet."""
        return self.filter(agreed_at__isnull=False, finished_at=None)


class Lifting(models.Model):
    """
    A proposal to lift holds, which stand until a second person has agreed.

    `hold_ids` are those proposed where it names single holds; a lifted criterion or a closed
    matter takes all holds that stand for it when it is agreed to. The closing of its matter takes
    a proposal back, too.
    """

    class Kind(models.TextChoices):
        """What is given up."""

        HOLDS = "holds", _("Single holds")
        CRITERION = "criterion", _("A criterion, with its holds")
        MATTER = "matter", _("The whole matter")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    matter = models.ForeignKey(Matter, on_delete=models.PROTECT, related_name="liftings")
    kind = models.CharField(max_length=10, choices=Kind)
    criterion = models.ForeignKey(
        Criterion, on_delete=models.PROTECT, null=True, blank=True, related_name="liftings"
    )
    hold_ids = ArrayField(models.UUIDField(), default=list, blank=True)
    reason = models.TextField()
    proposed_at = models.DateTimeField()
    proposed_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    agreed_at = models.DateTimeField(null=True, blank=True)
    agreed_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    taken_back_at = models.DateTimeField(null=True, blank=True)

    total_count = models.PositiveIntegerField(default=0)
    lifted_count = models.PositiveIntegerField(default=0)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = LiftingQuerySet.as_manager()

    class Meta:
        ordering = ["-proposed_at"]
        constraints = [
            models.CheckConstraint(
                name="lifting_agreed_by_another", condition=~Q(agreed_by=F("proposed_by"))
            ),
            models.CheckConstraint(
                name="lifting_agreed_or_taken_back",
                condition=Q(agreed_at=None) | Q(taken_back_at=None),
            ),
            models.CheckConstraint(
                name="lifting_names_a_criterion_iff_of_one",
                condition=Q(kind="criterion", criterion__isnull=False)
                | (~Q(kind="criterion") & Q(criterion=None)),
            ),
            models.UniqueConstraint(
                name="lifting_of_criterion_open_once",
                fields=["criterion"],
                condition=Q(kind="criterion", agreed_at=None, taken_back_at=None),
            ),
            models.UniqueConstraint(
                name="lifting_of_matter_open_once",
                fields=["matter"],
                condition=Q(kind="matter", agreed_at=None, taken_back_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.matter_id}"
