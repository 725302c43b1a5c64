"""Which months of which log were delivered, and what went wrong with the next one."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Delivery(models.Model):
    """One calendar month of one log: delivered, or tried in vain so far."""

    pk = models.CompositePrimaryKey("log", "month")
    log = models.TextField()
    month = models.DateField()  # its first day, in the installation's time zone
    place = models.TextField(default="")  # the file's address at the receiver
    manifest_digest = models.TextField(default="")  # SHA-256, in hexadecimal
    delivered_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    failure = models.TextField(default="")  # a code of audit.receiving.REASONS

    class Meta:
        db_table = "audit_delivery"
        verbose_name = _("delivery")
        constraints = [
            models.CheckConstraint(
                name="audit_delivery_has_digest",
                condition=models.Q(delivered_at=None) | ~models.Q(manifest_digest=""),
            )
        ]

    def __str__(self) -> str:
        return f"{self.log} {self.month:%Y-%m}"
