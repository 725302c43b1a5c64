"""What waits for a decision: who was told of it, and what two persons decided."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from accounts.models import Controller, User


class About(models.TextChoices):
    """What waits until somebody decides, and is destroyed when nobody does."""

    CONVERSATION = "conversation", _("Conversation without a rule")
    QUARANTINED = "quarantined", _("Item in quarantine")


class Notice(models.Model):
    """
    One letter to a company's compliance officers: for so many things so many days are left.

    It speaks of those whose time to decide ends after `after_at` and until `until_at`; the next
    one with as many `days_left` goes on from there, so that each thing is spoken of once. With 0
    days left it says that they are destroyed.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    controller = models.ForeignKey(Controller, on_delete=models.PROTECT, related_name="+")
    about = models.CharField(max_length=15, choices=About)
    days_left = models.PositiveSmallIntegerField()
    after_at = models.DateTimeField()
    until_at = models.DateTimeField()
    count = models.PositiveIntegerField()
    first_before = models.DateTimeField()
    noted_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-noted_at"]
        indexes = [
            # operations.reminders.send_waiting
            models.Index(fields=["noted_at"], name="notice_unsent", condition=Q(sent_at=None))
        ]
        constraints = [
            models.UniqueConstraint(
                name="notice_once", fields=["controller", "about", "days_left", "until_at"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.about} {self.days_left}"


class DispositionQuerySet(models.QuerySet["Disposition"]):
    """Names for how far a decision has come."""

    def open(self) -> Self:
        """Those proposed that are neither carried out nor taken back."""
        return self.filter(done_at=None, ended_at=None)

    def agreed(self) -> Self:
        """Those open that two persons want."""
        return self.open().filter(agreed_at__isnull=False)


class Disposition(models.Model):
    """
    What two persons decide of one thing that waits, before its time to decide is over.

    `target` is the conversation or the quarantined item, by identifier: it stays as evidence when
    what it speaks of is long gone. A worker carries it out, since who serves pages may not say
    when anything ends.

    Source: ISO 15489-1:2016 on disposition; threats: an insider destroys what is inconvenient.
    """

    class Kind(models.TextChoices):
        """What is to become of it."""

        DESTROY = "destroy", _("Destroy now")
        EXTEND = "extend", _("Wait once more as long")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    controller = models.ForeignKey(Controller, on_delete=models.PROTECT, related_name="+")
    about = models.CharField(max_length=15, choices=About)
    target = models.UUIDField()
    kind = models.CharField(max_length=10, choices=Kind)
    reason = models.CharField(max_length=500)
    subject_is_told = models.BooleanField(default=False)
    proposed_at = models.DateTimeField()
    proposed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    agreed_at = models.DateTimeField(null=True, blank=True)
    agreed_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    ended_at = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)

    objects = DispositionQuerySet.as_manager()

    class Meta:
        ordering = ["-proposed_at"]
        constraints = [
            models.UniqueConstraint(
                name="disposition_open_once",
                fields=["target"],
                condition=Q(done_at=None, ended_at=None),
            ),
            models.UniqueConstraint(
                name="disposition_extends_once",
                fields=["target"],
                condition=Q(kind="extend", done_at__isnull=False),
            ),
            models.CheckConstraint(
                name="disposition_agreed_by_another",
                condition=Q(agreed_at=None, agreed_by=None)
                | (
                    Q(agreed_at__isnull=False, agreed_by__isnull=False)
                    & ~Q(agreed_by=F("proposed_by"))
                ),
            ),
            models.CheckConstraint(
                name="disposition_done_after_agreed",
                condition=Q(done_at=None) | Q(agreed_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.target}"
