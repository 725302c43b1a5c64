"""Simulates changes of rules before anybody approves them: asked by a person, done by a worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from celery import current_app
from django.db import transaction
from django.db.models import F

from accounts.models import Controller, User
from accounts.queries import actor_for
from audit import canonical
from audit.events import EventType, Target
from audit.operations import append
from retention.changes import LimitChange, RuleChange, change_of, changed_book, dumps, loads
from retention.models import Proposal, Simulation
from retention.permissions import check_can_change_rules, check_can_read
from retention.simulating import Books, reckon, total_of

TASK = "retention.tasks.run_simulations"
# A worker silent for so long is taken for dead; PostgreSQL answers a piece within seconds.
SILENT = timedelta(minutes=2)
MOST_TRIES = 3


@transaction.atomic
def simulate(
    *,
    changes: Sequence[RuleChange | LimitChange],
    proposal: Proposal | None = None,
    user: User,
    now: datetime,
) -> Simulation:
    """
    Have it reckoned what the changes, all together, would do if they were in force now.

    Nothing is changed. With a proposal the result is shown on its page. A worker is rung for after
    commit, and its timetable brings it if the bell is not heard; where it stands and what came of
    it stands in the row returned.

    Raises NotEntitled: the person may not change the rules of one of the companies.
    """
    controllers = {change.controller.pk: change.controller for change in changes}
    for controller in controllers.values():
        check_can_change_rules(user=user, controller=controller)
    simulation = Simulation.objects.create(
        proposal=proposal,
        controllers=sorted(controllers),
        changes=dumps(changes),
        at=now,
        asked_by=user,
        asked_at=now,
    )
    _append(EventType.SIMULATION_REQUESTED, simulation, user, now)
    transaction.on_commit(lambda: current_app.send_task(TASK, retry=False), robust=True)
    return simulation


def simulate_proposal(*, proposal: Proposal, user: User, now: datetime) -> Simulation:
    """
    Have it reckoned what the proposed change of a rule or a limit would do; see `simulate`.

    Raises NotEntitled.
    """
    return simulate(changes=[change_of(proposal)], proposal=proposal, user=user, now=now)


def newest_of(proposal: Proposal) -> Simulation | None:
    """The proposal's simulation that was asked for last."""
    return Simulation.objects.filter(proposal=proposal).order_by("asked_at").last()


@transaction.atomic
def look_at(*, simulation: Simulation, user: User, now: datetime) -> None:
    """
    Say in the logs of its companies that a person looked at the simulation.

    Raises NotEntitled: she may not see the rules of one of the companies.
    """
    for controller in Controller.objects.filter(pk__in=simulation.controllers):
        check_can_read(user=user, controller=controller)
    _append(EventType.SIMULATION_VIEWED, simulation, user, now)


def run_next(*, clock: Callable[[], datetime]) -> UUID | None:
    """
    Do the simulation that has waited longest, from the start. Returns its id; None if none waits.

    Killed, it is begun again by whoever looks after SILENT; after MOST_TRIES it needs a person.
    Several workers at once do different ones.
    """
    simulation = _claim(clock())
    if simulation is None:
        return None
    controllers = list(
        Controller.objects.filter(pk__in=simulation.controllers).order_by("name", "pk")
    )
    changes = loads(simulation.changes)
    # Who has taken it over meanwhile has counted a try more: what is late then writes nothing.
    mine = Simulation.objects.open().filter(pk=simulation.pk, attempts=simulation.attempts)
    mine.update(total_count=total_of(controllers), done_count=0)

    def progress(count: int) -> None:
        mine.update(done_count=F("done_count") + count, heartbeat_at=clock())

    result = reckon(
        [
            Books(controller, *changed_book(changes, controller=controller, at=simulation.at))
            for controller in controllers
        ],
        at=simulation.at,
        on_progress=progress,
    )
    mine.update(result=canonical.dumps(result), finished_at=clock())
    return simulation.pk


@transaction.atomic
def _claim(now: datetime) -> Simulation | None:
    """The next one to be done; those tried too often are left to a person."""
    waiting = Simulation.objects.waiting(silent_since=now - SILENT).select_for_update(
        skip_locked=True, of=("self",)
    )
    for simulation in waiting.order_by("asked_at"):
        if simulation.attempts >= MOST_TRIES:
            simulation.needs_person_at = now
            simulation.save(update_fields=["needs_person_at"])
            continue
        simulation.attempts += 1
        simulation.heartbeat_at = now
        simulation.save(update_fields=["attempts", "heartbeat_at"])
        return simulation
    return None


def _append(event_type: EventType, simulation: Simulation, user: User, now: datetime) -> None:
    changes = loads(simulation.changes)
    for controller in simulation.controllers:
        of_it = [change for change in changes if change["controller"] == str(controller)]
        rules = sorted(
            UUID(change["rule"]) for change in of_it if change["kind"] == "rule" and change["rule"]
        )
        append(
            event_type=event_type,
            actor=actor_for(user=user, at=now),
            now=now,
            log=controller,
            target=Target("simulation", str(simulation.pk)),
            facts={"rules": rules, "count": len(of_it)},
        )
