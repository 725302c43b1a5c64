"""The workers' application. PostgreSQL holds the truth; this is the doorbell."""

import os
from typing import Any

from celery import Celery, Task
from celery.signals import worker_init

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
