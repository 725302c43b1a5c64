"""Says when each task of the timetable was last done, and how often it should be."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, cast

from django.conf import settings
from django.db import connection
from django.db.models import Max

from retention.models import PurgeRun, TaskEnd
from retention.operations.timetable import PURGE


def task_ends(*, at: datetime) -> dict[str, tuple[datetime, timedelta]]:
    """
    When each task of the timetable was last done, and how often it should be.

    One that never was counts from the last change of the database's tables: installing, upgrading.
    """
    known = dict(TaskEnd.objects.values_list("task", "ended_at"))
    running = PurgeRun.objects.filter(state=PurgeRun.State.RUNNING)
    alive_at: datetime | None = running.aggregate(last=Max("heartbeat_at"))["last"]
    if alive_at is not None:
        known[PURGE] = max(known.get(PURGE, alive_at), alive_at)
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(applied), %s) FROM django_migrations", [at])
        (upgraded_at,) = cursor.fetchone()
    timetable = cast("Iterable[dict[str, Any]]", settings.CELERY_BEAT_SCHEDULE.values())
    return {
        entry["task"]: (known.get(entry["task"], upgraded_at), timedelta(seconds=entry["schedule"]))
        for entry in timetable
    }
