"""The workers' application. PostgreSQL holds the truth; this is the doorbell."""

import os
from typing import Any

import structlog
from celery import Celery, Task
from celery.signals import task_success, worker_init, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


class OpenTask(Task):  # type: ignore[type-arg]
    """A task that is not done on a database that a backup has brought back."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raise `audit.checks.NotOpen` instead of working; the timetable rings again."""
        from audit.checks import refuse_unless_open

        refuse_unless_open()
        return super().__call__(*args, **kwargs)


app = Celery("tallenne", task_cls=OpenTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def check_database(**_: object) -> None:
    """Refuse to work on a database that can lose what it has committed."""
    from audit.checks import refuse_unsafe_database

    refuse_unsafe_database()


@task_success.connect
def note_end(sender: Any, **_: object) -> None:
    """Remember that a task of the timetable was done: one that is not is red on a page."""
    from django.conf import settings
    from django.db import DatabaseError

    from audit import clock
    from retention.operations import timetable

    if sender.name not in {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}:
        return
    try:
        timetable.note_end(task=sender.name, now=clock.now())
    except DatabaseError:
        structlog.get_logger("tallenne.timetable").warning("task_end_not_noted", task=sender.name)


@worker_shutting_down.connect
def end_after_batch(**_: object) -> None:
    """Have a purge end after the batch it is at: nobody need wait for a whole run, or kill it."""
    from retention.tasks import ending

    ending.set()
