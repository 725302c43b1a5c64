"""How far the log has been streamed, to which destination."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Stream(models.Model):
    """A destination that the log is, or was, streamed to, and since when it takes nothing."""

    destination = models.TextField(primary_key=True)
    address = models.TextField()
    directed_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    error = models.TextField(null=True)
    failing_since = models.DateTimeField(null=True)
    incident_raised_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "audit_stream"
        verbose_name = _("stream")

    def __str__(self) -> str:
        return self.destination


class StreamCursor(models.Model):
    """The first leaf of a log that has not arrived at a destination; all before it have."""

    pk = models.CompositePrimaryKey("stream", "log")
    stream = models.ForeignKey(Stream, models.PROTECT, related_name="cursors")
    log = models.TextField()
    next_index = models.BigIntegerField(default=0)
    missing = models.BigIntegerField(default=0)  # events that were cut before they were streamed
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "audit_stream_cursor"
        verbose_name = _("cursor of a stream")

    def __str__(self) -> str:
        return f"{self.stream_id} {self.log}"
