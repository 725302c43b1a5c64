"""The workers' application. PostgreSQL holds the truth; this is the doorbell."""

import os

from celery import Celery
from celery.signals import worker_init, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("tallenne")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def check_database(**_: object) -> None:
    """Refuse to work on a database that can lose what it has committed."""
    from audit.checks import refuse_unsafe_database

    refuse_unsafe_database()


@worker_shutting_down.connect
def end_after_batch(**_: object) -> None:
    """Have a purge end after the batch it is at: nobody need wait for a whole run, or kill it."""
    from retention.tasks import ending

    ending.set()
