"""Has logs checked, and says in each what was found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import structlog
from celery import current_app
from django.utils.translation import gettext_lazy as _
from kombu.exceptions import OperationalError

from audit import anchoring, clock, queries
from audit.anchoring import AnchorUnavailable
from audit.events import Actor, EventType, Outcome, Target, log_name, log_of
from audit.models import Origin
from audit.operations.events import append_alone
from audit.verification.checking import verify_log
from audit.verification.verdicts import OUTCOMES, State, Verdict

logger = structlog.get_logger("tallenne.audit")

TASK = "audit.tasks.verify_log"


class CheckNotBegun(Exception):
    """No worker can be asked for now: nothing was checked."""


def request_verification(*, log: UUID | None, actor: Actor, now: datetime) -> None:
    """
    Have a log checked by a worker, unless that is under way; the wish is an event in it.

    Raises `audit.operations.AuditUnavailable`, CheckNotBegun.
    """
    if queries.last_verification(log=log_name(log), now=now).is_running:
        return
    target = Target("log", log_name(log))
    append_alone(
        event_type=EventType.AUDIT_VERIFICATION_REQUESTED,
        actor=actor,
        now=now,
        log=log,
        target=target,
    )
    try:
        current_app.send_task(TASK, kwargs={"log": log_name(log)}, retry=False)
    except OperationalError as error:
        append_alone(
            event_type=EventType.AUDIT_VERIFICATION_REQUESTED,
            actor=actor,
            now=clock.now(),
            log=log,
            target=target,
            outcome=Outcome.ERROR,
        )
        raise CheckNotBegun(_("The check could not be begun. Try again in a moment.")) from error


def logs_to_check() -> list[str]:
    """
    Give every log there is a trace of: opened, sealed or anchored, whether it is still there.

    If the anchor does not answer, those of the database, which the check of each then says.
    """
    known = {*map(log_name, queries.logs()), *Origin.objects.values_list("log", flat=True)}
    try:
        known |= anchoring.anchored_logs(anchoring.reader())
    except AnchorUnavailable:
        logger.warning("audit_anchor_unavailable")
    return sorted(known)


def verify_and_tell(
    *,
    log: str,
    actor: Actor,
    with_anchors: bool = True,
    on_progress: Callable[[int], object] = lambda events: None,
) -> Verdict:
    """
    Check a log against its heads and anchors; the result is a log line and an event in it.

    Raises `audit.operations.AuditUnavailable`, when the line is written already;
    `django.db.DatabaseError`.
    """
    reader, unread = None, ""
    if with_anchors:
        try:
            reader = anchoring.reader()
        except AnchorUnavailable as error:
            unread = f"The anchored heads could not be read: {error}"
    verdict = verify_log(log=log, now=clock.now(), reader=reader, on_progress=on_progress)
    if unread:
        verdict.cannot_tell(unread)
    if verdict.state is not State.INTACT:
        logger.error(
            "audit_log_not_intact",
            log=log,
            state=verdict.state.value,
            faults=[str(fault) for fault in verdict.faults],
            notes=verdict.notes,
        )
    _tell(verdict, actor)
    return verdict


def _tell(verdict: Verdict, actor: Actor) -> None:
    log, target = log_of(verdict.log), Target("log", verdict.log)
    append_alone(
        event_type=EventType.AUDIT_VERIFIED,
        actor=actor,
        now=clock.now(),
        log=log,
        target=target,
        outcome=OUTCOMES[verdict.state],
        facts={
            "state": verdict.state.value,
            "size": verdict.size,
            "count": verdict.events,
            "root": verdict.root,
            "faults": len(verdict.faults),
            "anchors": verdict.anchors,
        },
    )
    if verdict.state is State.TAMPERED:
        append_alone(
            event_type=EventType.INCIDENT_RAISED,
            actor=actor,
            now=clock.now(),
            log=log,
            target=target,
            facts={"kind": "audit_log_tampered", "objects": len(verdict.faults)},
        )
