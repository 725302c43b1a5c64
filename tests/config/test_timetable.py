"""The timetable: what is daily runs once a day, also in the nights when the clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from celery.beat import ScheduleEntry
from celery.schedules import schedule
from django.conf import settings

from config.celery import app

HELSINKI = ZoneInfo("Europe/Helsinki")
DAILY = [
    name for name, entry in settings.CELERY_BEAT_SCHEDULE.items() if entry["schedule"] == 86_400
]


@pytest.mark.parametrize("night", [date(2026, 10, 25), date(2027, 3, 28)])
@pytest.mark.parametrize("hour", [2, 3, 4])
def test_what_is_daily_runs_once_in_each_night_when_the_clocks_change(night, hour):
    assert len(DAILY) >= 5
    began = datetime.combine(night, time(hour, 30), HELSINKI).astimezone(UTC)
    moment = began - timedelta(days=2)
    entry = ScheduleEntry(
        name="daily",
        schedule=schedule(86_400, nowfun=lambda: moment, app=app),
        last_run_at=moment,
        app=app,
    )
    ran = []
    while moment < began + timedelta(days=2):
        moment += timedelta(minutes=1)
        if entry.is_due().is_due:
            ran.append(moment)
            entry = entry._next_instance(last_run_at=moment)

    assert len(ran) == 4
    assert {later - earlier for earlier, later in pairwise(ran)} == {timedelta(days=1)}
