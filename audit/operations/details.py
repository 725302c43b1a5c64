"""Erases what is personal about events once its time is past, or when it is asked for."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import connection, transaction
from django.utils.translation import gettext_lazy as _

from audit import cuts
from audit.events import Actor, EventType, Target, log_of
from audit.models import AuditDetail
from audit.operations.events import append, erase_details

ACTOR = Actor.system("work")
# Why a single detail is erased, as the event says it.
REASONS = ("data_subject", "mistake", "not_needed")
DETAILS_PER_STEP = 5_000


class DetailNotErased(Exception):
    """There is no such detail, or its log is held; the sentence says which."""


def erase_past_details(*, now: datetime) -> int:
    """
    Erase the details whose time is past, log by log, and say in each how many there were.

    A log that is held loses none. Returns how many were erased.
    """
    past = AuditDetail.objects.filter(delete_after__lte=now, log__isnull=False)
    logs = past.order_by("log").values_list("log", flat=True).distinct()
    return sum([_erase_past(log=log, now=now) for log in list(logs) if log is not None])


def erase_detail(*, event_id: UUID, reason: str, actor: Actor, now: datetime) -> None:
    """
    Erase the detail of one event, for one of REASONS; the event stays and stays verifiable.

    Raises DetailNotErased.
    """
    with transaction.atomic():
        detail = AuditDetail.objects.filter(event_id=event_id).first()
        if detail is None or detail.log is None:
            raise DetailNotErased(_("There is no detail of such an event."))
        _wait_for(detail.log)
        if cuts.is_held(log=detail.log):
            raise DetailNotErased(_("The log is held: nothing of it is erased."))
        erase_details(
            event_ids=[event_id], log=log_of(detail.log), actor=actor, now=now, reason=reason
        )


def _erase_past(*, log: str, now: datetime) -> int:
    erased = 0
    while True:
        with transaction.atomic():
            _wait_for(log)
            if cuts.is_held(log=log):
                return erased
            past = AuditDetail.objects.filter(log=log, delete_after__lte=now)
            some = list(past.values_list("event_id", flat=True)[:DETAILS_PER_STEP])
            if not some:
                return erased
            count, _by_model = AuditDetail.objects.filter(event_id__in=some).delete()
            erased += count
            append(
                event_type=EventType.DETAIL_ERASED,
                actor=ACTOR,
                now=now,
                log=log_of(log),
                target=Target("log", log),
                facts={"count": count, "reason": "past"},
            )


def _wait_for(log: str) -> None:
    # The lock under which holds on this log are placed: see audit_alone_with_log.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('audit_cut'), hashtext(%s))", [log])
