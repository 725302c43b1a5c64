"""Has logs checked, and says in each what was found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import structlog
from celery import current_app

from audit import anchoring, clock, queries
from audit.anchoring import AnchorUnavailable
from audit.events import Actor, EventType, Target, log_name, log_of
from audit.operations.events import append_alone
from audit.verification.checking import verify_log
from audit.verification.verdicts import OUTCOMES, State, Verdict

logger = structlog.get_logger("tallenne.audit")


TASK = "audit.tasks.verify_log"


def request_verification(*, log: UUID | None, actor: Actor, now: datetime) -> None:
    """
    Have a log checked by a worker, unless that is under way; the wish is an event in it.

    Raises `audit.operations.AuditUnavailable`.
    """
    if queries.last_verification(log=log_name(log), now=now).is_running:
        return
    append_alone(
        event_type=EventType.AUDIT_VERIFICATION_REQUESTED,
        actor=actor,
        now=now,
        log=log,
        target=Target("log", log_name(log)),
    )
    current_app.send_task(TASK, kwargs={"log": log_name(log)}, retry=False)


def verify_and_tell(
    *,
    log: str,
    actor: Actor,
    with_anchors: bool = True,
    on_progress: Callable[[int], object] = lambda events: None,
) -> Verdict:
    """
    Check a log against its heads and anchors; the result is an event in it, and a log line.

    Raises `audit.operations.AuditUnavailable`, `django.db.DatabaseError`.
    """
    reader, unread = None, ""
    if with_anchors:
        try:
            reader = anchoring.reader()
        except AnchorUnavailable as error:
            unread = f"The anchored heads could not be read: {error}"
    verdict = verify_log(log=log, now=clock.now(), reader=reader, on_progress=on_progress)
    if unread:
        verdict.is_complete = False
        verdict.notes.append(unread)
    append_alone(
        event_type=EventType.AUDIT_VERIFIED,
        actor=actor,
        now=clock.now(),
        log=log_of(log),
        target=Target("log", log),
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
            log=log_of(log),
            target=Target("log", log),
            facts={"kind": "audit_log_tampered", "objects": len(verdict.faults)},
        )
    if verdict.state is not State.INTACT:
        logger.error(
            "audit_log_not_intact",
            log=log,
            state=verdict.state.value,
            faults=[str(fault) for fault in verdict.faults],
            notes=verdict.notes,
        )
    return verdict
