"""Remembers when each task of the timetable was last done, also when it found nothing to do."""

from __future__ import annotations

from datetime import datetime

from retention.models import TaskEnd

PURGE = "retention.tasks.purge"


def note_end(*, task: str, now: datetime) -> None:
    """Note that a task has come to its end without an error."""
    TaskEnd.objects.bulk_create(
        [TaskEnd(task=task, ended_at=now)],
        update_conflicts=True,
        unique_fields=["task"],
        update_fields=["ended_at"],
    )
