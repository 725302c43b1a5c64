"""What the audit log wants done from time to time."""

from celery import shared_task

from audit import operations

MONTHS_AHEAD = 3


@shared_task(acks_late=True)
def create_partitions() -> None:
    """Create the coming months' partitions; run daily, so that a run missed is no matter."""
    operations.create_partitions(months_ahead=MONTHS_AHEAD)
