"""When the tasks of the timetable were last done."""

from __future__ import annotations

from django.db import models


class TaskEnd(models.Model):
    """When a task of the timetable last came to its end without an error."""

    task = models.CharField(max_length=100, primary_key=True)
    ended_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.task
