"""What the audit log wants done from time to time."""

from celery import shared_task

from audit import clock, operations
from audit.operations.details import erase_past_details as erase_past

MONTHS_AHEAD = 3


@shared_task(acks_late=True)
def create_partitions() -> None:
    """Create the coming months' partitions; run daily, so that a run missed is no matter."""
    operations.create_partitions(months_ahead=MONTHS_AHEAD)


@shared_task(acks_late=True)
def erase_past_details() -> None:
    """Erase the details of events whose time is past; run daily, and again does no harm."""
    erase_past(now=clock.now())
