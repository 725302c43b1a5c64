"""What others say of anchored heads; only ever added to, by the sealer."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Cosignature(models.Model):
    """
    A witness's word that an anchored head continues all that it had seen of the log before.

    `lines` is what it adds to the head's note, `anchor_key` where the two lie anchored together.
    """

    pk = models.CompositePrimaryKey("log", "size", "witness")
    log = models.TextField()
    size = models.BigIntegerField()
    witness = models.TextField()  # its public key, name+hash+key
    lines = models.TextField()
    witnessed_at = models.DateTimeField()  # by the witness's clock
    anchor_key = models.TextField()

    class Meta:
        managed = False
        db_table = "audit_cosignature"
        verbose_name = _("cosignature")

    def __str__(self) -> str:
        return self.anchor_key


class TimeStamp(models.Model):
    """
    An authority's word that an anchored head existed at a time (RFC 3161).

    `response` is its answer as it came, of the note's SHA-256; it lies beside the anchor as well.
    """

    pk = models.CompositePrimaryKey("log", "size")
    log = models.TextField()
    size = models.BigIntegerField()
    response = models.BinaryField()
    stamped_at = models.DateTimeField()  # by the authority's clock
    anchor_key = models.TextField()

    class Meta:
        managed = False
        db_table = "audit_time_stamp"
        verbose_name = _("time stamp")

    def __str__(self) -> str:
        return self.anchor_key
