"""Pauses purge runs, lets them go on, and asks one to stop after its batch."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from audit.events import Actor, EventType, Outcome, Target
from audit.operations import append
from retention.models import PurgePause, PurgeRun

Reason = PurgePause.Reason


@transaction.atomic
def pause(
    *, actor: Actor, now: datetime, reason: PurgePause.Reason = PurgePause.Reason.PERSON
) -> bool:
    """
    Let no purge run destroy anything until somebody lets them go on; a second time does nothing.

    What a run is at is finished first: its keys are destroyed already. Returns whether it was not
    paused before.
    """
    _made, is_new = PurgePause.objects.get_or_create(
        reason=reason,
        ended_at=None,
        defaults={"began_at": now, "began_by": actor.reference},
    )
    if is_new and reason == Reason.CLOCKS:
        append(
            event_type=EventType.INCIDENT_RAISED,
            actor=actor,
            now=now,
            log=None,
            outcome=Outcome.ERROR,
            facts={"kind": "clocks.disagree"},
        )
    elif is_new:
        _say(EventType.PURGE_PAUSED, actor=actor, now=now)
    return is_new


@transaction.atomic
def resume(
    *, actor: Actor, now: datetime, reason: PurgePause.Reason = PurgePause.Reason.PERSON
) -> bool:
    """Let purge runs go on. Returns whether they were paused for that reason."""
    open_pauses = PurgePause.objects.filter(reason=reason, ended_at=None)
    ended = open_pauses.update(ended_at=now, ended_by=actor.reference)
    if ended and reason == Reason.PERSON:
        _say(EventType.PURGE_RESUMED, actor=actor, now=now)
    return bool(ended)


@transaction.atomic
def stop(*, actor: Actor, now: datetime, run_id: UUID | None = None) -> int:
    """
    Ask a run, or all that are running, to end after the batch each is at.

    What is left is due still: the next run takes it. Returns how many were asked now.
    """
    running = PurgeRun.objects.filter(state=PurgeRun.State.RUNNING, stop_asked_at=None)
    if run_id is not None:
        running = running.filter(pk=run_id)
    asked = list(running.values_list("pk", flat=True))
    for pk in asked:
        running.filter(pk=pk).update(stop_asked_at=now)
        _say(EventType.PURGE_RUN_STOPPED, actor=actor, now=now, run_id=pk)
    return len(asked)


def is_paused() -> bool:
    """Say whether somebody has paused purge runs."""
    return PurgePause.objects.filter(reason=Reason.PERSON, ended_at=None).exists()


def _say(event_type: EventType, *, actor: Actor, now: datetime, run_id: UUID | None = None) -> None:
    append(
        event_type=event_type,
        actor=actor,
        now=now,
        log=None,
        target=Target("purge_run", str(run_id)) if run_id else None,
    )
