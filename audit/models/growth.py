"""What ends the log's growth: how long each log is kept, what holds it, what was cut from it."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class LogTerm(models.Model):
    """A decision on how many months a log is kept; of a log's decisions the newest counts."""

    id = models.BigAutoField(primary_key=True)
    log = models.TextField()
    months = models.SmallIntegerField()
    legal_reason = models.TextField()
    set_at = models.DateTimeField()
    set_by = models.UUIDField()

    class Meta:
        managed = False
        db_table = "audit_log_term"
        verbose_name = _("term of a log")

    def __str__(self) -> str:
        return f"{self.log} {self.months}"


class LogHold(models.Model):
    """A duty to keep a whole log: while it is not lifted, nothing of the log is cut or erased."""

    id = models.UUIDField(primary_key=True)
    log = models.TextField()
    placed_at = models.DateTimeField()
    placed_by = models.UUIDField()
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.UUIDField(null=True)

    class Meta:
        managed = False
        db_table = "audit_log_hold"
        verbose_name = _("hold on a log")

    def __str__(self) -> str:
        return f"{self.log} {self.id}"


class CutQuerySet(models.QuerySet["Cut"]):
    """Cuts, by how far they have come."""

    def open(self) -> CutQuerySet:
        """Those that were proposed and neither done nor replaced by a newer proposal."""
        return self.filter(done_at=None, replaced_at=None)

    def agreed(self) -> CutQuerySet:
        """Those that two persons want and nobody has done yet."""
        return self.open().exclude(agreed_at=None)


class Cut(models.Model):
    """
    Events of one log and class whose term is past, to be deleted once a second person agrees.

    The database itself finds which leaves they are (`leaves`, a multirange), when it is proposed;
    see `audit.cuts`. Their hashes stay.
    """

    id = models.UUIDField(primary_key=True)
    log = models.TextField()
    about_conversation = models.BooleanField()
    until_month = models.DateField()  # the first month that is not cut
    events = models.BigIntegerField()
    first_leaf = models.BigIntegerField()
    last_leaf = models.BigIntegerField()
    root = models.BinaryField(max_length=32)  # of the tree that ends with the last leaf
    proposed_at = models.DateTimeField()
    proposed_by = models.UUIDField()
    agreed_at = models.DateTimeField(null=True)
    agreed_by = models.UUIDField(null=True)
    replaced_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)

    objects = CutQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "audit_cut"
        verbose_name = _("cut")

    def __str__(self) -> str:
        return f"{self.log} {self.until_month:%Y-%m}"
