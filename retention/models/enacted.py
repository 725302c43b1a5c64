"""What two persons have put in force, from a time on: what all such rows have in common."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self, TypeVar

from django.db import models
from django.db.models import Exists, F, OuterRef, Q, Subquery
from django.utils.translation import gettext_lazy as _

from accounts.models import User

Row = TypeVar("Row", bound="Enacted")


class Urgency(models.TextChoices):
    """Why a shortening may take effect without its cooling time."""

    UNLAWFUL = "unlawful", _("The rule in force is unlawful")
    AUTHORITY_ORDER = "authority_order", _("An authority's order")


class EnactedQuerySet(models.QuerySet[Row]):
    """Names for when a row speaks."""

    def in_force(self, *, at: datetime) -> Self:
        """The newest of each series at that time."""
        newest = (
            self.model._default_manager.filter(
                **self._same(), in_force_from__lte=at, taken_back_at=None
            )
            .order_by("-number")
            .values("pk")[:1]
        )
        return self.filter(pk=Subquery(newest))

    def waiting(self, *, at: datetime) -> Self:
        """Those that will speak after that time, when none of a higher number does before."""
        overtakes = self.model._default_manager.filter(
            **self._same(),
            number__gt=OuterRef("number"),
            in_force_from__lte=OuterRef("in_force_from"),
            taken_back_at=None,
        )
        return self.filter(~Exists(overtakes), in_force_from__gt=at, taken_back_at=None)

    def _same(self) -> dict[str, OuterRef]:
        return {name: OuterRef(name) for name in self.model.SERIES}


class Enacted(models.Model):
    """
    Something that is law from `in_force_from` on; never changed, only followed by another.

    `created_by` proposed it, and `approved_by`, another person, made it law at `created_at`; what
    the set-up of the installation made has neither. A shortening, by which something kept could
    end earlier, can be taken back before it speaks, and then never does.
    """

    # The fields by which rows follow one another.
    SERIES: ClassVar[tuple[str, ...]]

    in_force_from = models.DateTimeField()
    created_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField()
    approved_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    proposal = models.OneToOneField(
        "retention.Proposal",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="%(class)s",
    )
    is_shortening = models.BooleanField(default=False)
    urgency = models.CharField(max_length=20, choices=Urgency, blank=True)
    taken_back_at = models.DateTimeField(null=True, blank=True)
    taken_back_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        abstract = True


def by_two(name: str) -> models.CheckConstraint:
    """That whoever proposed it did not approve it."""
    return models.CheckConstraint(
        name=name,
        condition=Q(created_by=None) | Q(approved_by=None) | ~Q(created_by=F("approved_by")),
    )
