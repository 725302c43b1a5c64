"""Events and their details, as Django reads them; the database itself guards what is written."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Log(models.Model):
    """A log that has partitions of its own: a controller's, or the installation's."""

    name = models.TextField(primary_key=True)
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "audit_log"
        verbose_name = _("log")

    def __str__(self) -> str:
        return self.name


class Event(models.Model):
    """
    Something that happened: the body is the evidence, the other columns are read from it.

    The application inserts log, about_conversation and body by `audit.operations` alone; the
    database fills in the rest, refuses a log that is not the body's, and refuses every change.
    """

    pk = models.CompositePrimaryKey("id", "log", "about_conversation", "month")
    id = models.BigIntegerField()
    log = models.TextField()
    about_conversation = models.BooleanField()
    month = models.DateField()
    recorded_at = models.DateTimeField()
    body = models.TextField()

    event_id = models.UUIDField()
    happened_at = models.DateTimeField()
    event_type = models.TextField()
    actor = models.TextField()
    actor_role = models.TextField(null=True)
    target_kind = models.TextField(null=True)
    target = models.TextField(null=True)
    subject = models.UUIDField(null=True)
    purpose = models.TextField(null=True)
    basis = models.TextField(null=True)
    outcome = models.TextField()
    conversation = models.UUIDField(null=True)

    class Meta:
        managed = False
        db_table = "audit_event"
        verbose_name = _("event")

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"


class AuditDetail(models.Model):
    """The erasable part of one event: free text, search words, addresses; `pd` commits to it."""

    event_id = models.UUIDField(primary_key=True)
    salt = models.BinaryField(max_length=32)
    text = models.TextField()
    delete_after = models.DateTimeField(null=True)
    log = models.TextField(null=True)

    class Meta:
        db_table = "audit_detail"
        verbose_name = _("detail of an event")
        indexes = [  # the search for details whose time is past
            models.Index(
                fields=["delete_after"],
                name="audit_detail_by_end",
                condition=models.Q(delete_after__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return str(self.event_id)
