"""Makes a data subject's report, once it is logged that it was made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from audit.events import Actor, EventType, Target, log_name
from audit.operations.events import accountable, append
from audit.reports import SubjectReport, subject_report


class StaffWithoutReason(ValueError):
    """Staff are left out of a report unless it is said why she must know them."""

    def __init__(self) -> None:
        super().__init__(_("Say why staff must be named: they are left out otherwise."))


def report_on_subject(
    *,
    logs: Sequence[UUID | None],
    subject: UUID,
    conversations: Sequence[UUID],
    with_staff: bool,
    reason: str,
    actor: Actor,
    now: datetime,
) -> SubjectReport:
    """
    Give what these logs know of looks at a person's data, and say so where there was any.

    Staff may be shown only if `with_staff` was asked for, with its reason (CJEU C-579/21: only
    where she needs to know them for her rights, and theirs were weighed).

    Raises StaffWithoutReason; `audit.operations.AuditUnavailable`: then nothing may be shown.
    """
    if with_staff and not reason.strip():
        raise StaffWithoutReason
    with accountable():
        report = subject_report(logs=logs, subject=subject, conversations=conversations)
        found = [log for log in logs if log_name(log) in report.logs]
        for log in found or logs[:1]:
            append(
                event_type=EventType.SUBJECT_REPORTED,
                actor=actor,
                now=now,
                log=log,
                target=Target("log", log_name(log)),
                subject=subject,
                facts={
                    "count": sum(look.log == log_name(log) for look in report.looks),
                    "conversations": len(conversations),
                    "staff": with_staff,
                },
                detail={"reason": reason.strip()} if reason.strip() else None,
            )
    return report
