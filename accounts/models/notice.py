"""What companies tell the people whose conversations they keep."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from uuid_utils.compat import uuid7

from accounts.models.organization import Controller, Purpose


class PrivacyNoticeQuerySet(models.QuerySet["PrivacyNotice"]):
    """Names for when a notice is in force."""

    def in_force(self, *, controller: Controller, at: datetime) -> PrivacyNotice | None:
        """The company's newest at that time, if there was one."""
        found = self.filter(controller=controller, in_force_from__lte=at)
        return found.order_by("-in_force_from", "-pk").first()


class PrivacyNotice(models.Model):
    """
    One version of a company's privacy notice (GDPR Art. 13), in force until a newer one.

    `version` is what the company calls it, and phone systems that name it. It never changes. It
    counts for retention from `recorded_at` on.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    controller = models.ForeignKey(
        Controller, on_delete=models.PROTECT, related_name="privacy_notices"
    )
    version = models.CharField(max_length=100)
    in_force_from = models.DateTimeField()
    recorded_at = models.DateTimeField()

    objects = PrivacyNoticeQuerySet.as_manager()

    class Meta:
        ordering = ["controller__name", "-in_force_from"]
        constraints = [
            models.UniqueConstraint(name="privacy_notice_once", fields=["controller", "version"])
        ]

    def __str__(self) -> str:
        return self.version


class NoticedTime(models.Model):
    """How long conversations are kept for a purpose, as a privacy notice states it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    notice = models.ForeignKey(PrivacyNotice, on_delete=models.CASCADE, related_name="times")
    purpose = models.ForeignKey(Purpose, on_delete=models.PROTECT, related_name="+")
    months = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["purpose__code"]
        constraints = [
            models.UniqueConstraint(name="noticed_time_once", fields=["notice", "purpose"])
        ]

    def __str__(self) -> str:
        return f"{self.notice_id} {self.purpose_id}: {self.months}"
