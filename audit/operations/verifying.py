"""Has logs checked, and says in each what was found."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import structlog

from audit import anchoring, clock
from audit.anchoring import AnchorUnavailable
from audit.events import Actor, EventType, Target, log_name, log_of
from audit.operations.events import append_alone
from audit.verification.checking import verify_log
from audit.verification.verdicts import OUTCOMES, State, Verdict

logger = structlog.get_logger("tallenne.audit")


def request_verification(*, log: UUID | None, actor: Actor) -> None:
    """Say in the log that it is to be checked. Raises AuditUnavailable."""
    append_alone(
        event_type=EventType.AUDIT_VERIFICATION_REQUESTED,
        actor=actor,
        now=clock.now(),
        log=log,
        target=Target("log", log_name(log)),
    )


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
    if verdict.state is not State.INTACT:
        logger.error(
            "audit_log_not_intact",
            log=log,
            state=verdict.state.value,
            faults=[str(fault) for fault in verdict.faults],
            notes=verdict.notes,
        )
    return verdict
