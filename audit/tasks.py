"""What the audit log wants done from time to time."""

from celery import shared_task
from django.conf import settings
from django.db import DatabaseError

from audit import clock, operations
from audit.events import Actor
from audit.operations.delivering import NotDelivered
from audit.operations.delivering import deliver_months as deliver
from audit.operations.details import erase_past_details as erase_past
from audit.operations.verifying import logs_to_check, verify_and_tell
from audit.receiving import NotReceived

MONTHS_AHEAD = 3
RETRY_SECONDS = 600
TIMETABLE = Actor.system("timetable")


@shared_task(acks_late=True)
def create_partitions() -> None:
    """Create the coming months' partitions; run daily, so that a run missed is no matter."""
    operations.create_partitions(months_ahead=MONTHS_AHEAD)


@shared_task(acks_late=True)
def erase_past_details() -> None:
    """Erase the details of events whose time is past; run daily, and again does no harm."""
    erase_past(now=clock.now())


@shared_task(acks_late=True)
def verify_log(log: str) -> None:
    """Check one log, by the name it has in the tables; done twice it is checked twice."""
    verify_and_tell(log=log, actor=TIMETABLE)


@shared_task(acks_late=True)
def verify_logs() -> None:
    """Check every log; run daily. What stops the check of one stops no other's."""
    failures: list[Exception] = []
    for log in logs_to_check():
        try:
            verify_and_tell(log=log, actor=TIMETABLE)
        except (operations.AuditUnavailable, DatabaseError) as error:
            failures.append(error)
    if failures:
        raise failures[0]


@shared_task(
    acks_late=True, autoretry_for=(NotReceived,), retry_backoff=RETRY_SECONDS, max_retries=3
)
def deliver_months() -> None:
    """Deliver each month of each log that is over; run daily, and what is delivered is left."""
    if not settings.AUDIT_EXPORT_TO:
        return
    failures = [
        outcome for outcome in deliver(actor=TIMETABLE) if isinstance(outcome, NotDelivered)
    ]
    if failures:
        raise NotReceived(failures[0].reason)
