"""One purge run: finishes what earlier ones began, then takes what is due, to the last."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import Exists, OuterRef

from audit.events import Actor, EventType, FactValue, Outcome, Target
from audit.operations import append
from recordings.objectstore import ObjectStore, StoreError
from retention.models import Destruction, PurgeRun
from retention.models.purge import DestructionQuerySet
from retention.operations.purge import leases, selection, steps
from retention.operations.purge.deletion import OthersVanished, delete_and_confirm
from retention.operations.purge.leases import Batch, Clock
from retention.operations.purge.presence import RUN, is_there, number_of, presence
from retention.operations.purge.watchdog import BatchStuck, watched

logger = logging.getLogger(__name__)

ACTOR = Actor.system("purge")
CLOCKS_MAY_DIFFER = timedelta(minutes=5)
# After so many batches in a row that the store did not take, it is down.
OUTAGE_BATCHES = 3
# Each step renews the lease, and takes a fraction of one.
STUCK_AFTER_LEASES = 2

# Told how many are done, of how many.
Progress = Callable[[int, int], None]


class PurgeStopped(Exception):
    """The run ended before its end, and says why; another run goes on where it stopped."""


@dataclass(slots=True)
class Tally:
    """What one call of the purge did."""

    run_id: UUID | None = None
    due: int = 0
    held: int = 0
    requested: int = 0
    observed: int = 0
    withdrawn: int = 0
    recalled: int = 0
    destroyed: int = 0
    postponed: int = 0
    need_person: int = 0
    is_braked: bool = False


@dataclass(slots=True)
class _Worker:
    """Who works at batches in this call: what it may use, and what it has done."""

    token: int
    content: ObjectStore
    anchor: ObjectStore
    clock: Clock
    progress: Progress
    tally: Tally = field(default_factory=Tally)
    outages: int = 0

    def finish(self, batch: Batch) -> None:
        """Take a batch through every step it has not had yet, unless it does not end."""
        with watched(seconds=STUCK_AFTER_LEASES * settings.PURGE_LEASE_SECONDS):
            self._finish(batch)

    def _finish(self, batch: Batch) -> None:
        try:
            self.tally.recalled += steps.destroy_keys(batch=batch, actor=ACTOR, now=self.clock())
            steps.write_ledger(batch=batch, anchor=self.anchor, actor=ACTOR, now=self.clock())
            confirmed = delete_and_confirm(batch=batch, store=self.content, clock=self.clock)
        except OthersVanished as incident:
            _raise_incident(kind="store.removed_others", clock=self.clock)
            self._postpone(batch, str(incident), is_their_fault=False)
            raise PurgeStopped(str(incident)) from incident
        except StoreError as error:
            self._postpone(batch, str(error), is_their_fault=False)
            self.outages += 1
            if self.outages >= OUTAGE_BATCHES:
                raise PurgeStopped(str(error)) from error
            return
        self.outages = 0
        done = steps.conclude(
            batch=batch,
            gone=confirmed.gone,
            deleted_at=confirmed.deleted_at,
            confirmed_at=confirmed.confirmed_at,
            actor=ACTOR,
            now=self.clock(),
        )
        self.tally.destroyed += len(done)
        for problem in sorted(set(confirmed.remaining.values())):
            left = [pk for pk, sentence in confirmed.remaining.items() if sentence == problem]
            self._postpone(batch, problem, is_their_fault=True, conversation_ids=left)

    def _postpone(
        self,
        batch: Batch,
        problem: str,
        *,
        is_their_fault: bool,
        conversation_ids: Sequence[UUID] | None = None,
    ) -> None:
        self.tally.postponed += leases.postpone(
            batch=batch,
            conversation_ids=conversation_ids,
            problem=problem,
            is_their_fault=is_their_fault,
            actor=ACTOR,
            now=self.clock(),
        )


def purge(
    *,
    content: ObjectStore,
    anchor: ObjectStore,
    clock: Clock,
    progress: Progress = lambda done, total: None,
) -> Tally:
    """
    Destroy what is due, beginning with what earlier runs left unfinished.

    Killed at any point, the next call finishes. Two calls at once do no harm. A call that finds
    nothing to do writes nothing. Time is asked of `clock`, the database's, as the run goes on.

    Raises:
        PurgeStopped: the audit log or the database cannot be written, the store is down, its
            clock disagrees, or it removed what it should not. The sentence says which.
    """
    try:
        _check_clocks(content, clock)
        with leases.at_work() as token:
            worker = _Worker(token, content, anchor, clock, progress)
            _finish_begun(worker)
            _close_abandoned(clock)
            _take_due(worker)
    except (DatabaseError, InterfaceError) as error:
        # PostgreSQL's own text can hold a row, and with it a telephone number: it is not passed on.
        sqlstate = getattr(error.__cause__, "sqlstate", None)
        logger.error("The purge stopped: %s, SQLSTATE %s", type(error).__name__, sqlstate)
        raise PurgeStopped(
            "The database or its audit log cannot be written: nothing is destroyed without it."
        ) from None
    except BatchStuck:
        # As if it had been killed: what it did last is counted as a try, and others take it over.
        connection.close()
        logger.error("The purge stopped: a batch did not end")
        raise PurgeStopped(
            "A batch did not end in time. The next run tries it in smaller ones."
        ) from None
    except StoreError as error:
        raise PurgeStopped(str(error)) from error
    worker.tally.need_person = _open().filter(needs_person_at__isnull=False).count()
    return worker.tally


def _open() -> DestructionQuerySet:
    return Destruction.objects.open()


def _check_clocks(store: ObjectStore, clock: Clock) -> None:
    """
    Refuse to start while the database's clock and the store's disagree.

    Source: threats, T8: a clock set forward must not purge early.
    """
    if abs(store.server_date() - clock()) > CLOCKS_MAY_DIFFER:
        _raise_incident(kind="clocks.disagree", clock=clock)
        raise PurgeStopped(
            "The clocks of the database and of the object store are more than 5 minutes apart: "
            "set them right first."
        )


def _finish_begun(worker: _Worker) -> None:
    leases.give_up_on_killers(actor=ACTOR, now=worker.clock())
    total = _open().filter(needs_person_at=None).count()
    while batch := leases.claim(token=worker.token, now=worker.clock()):
        worker.finish(batch)
        worker.progress(worker.tally.destroyed, max(total, worker.tally.destroyed))


def _take_due(worker: _Worker) -> None:
    started_at = worker.clock()
    found = selection.counts(at=started_at)
    tally = worker.tally
    tally.due, tally.held = found.due, found.held
    tally.requested, tally.observed = found.requested, found.observed
    if found.due == 0:
        return
    run = PurgeRun(
        actor=ACTOR.reference,
        started_at=started_at,
        heartbeat_at=started_at,
        due_count=found.due,
        held_count=found.held,
        request_count=found.requested,
        observed_count=found.observed,
    )
    if selection.is_much_more_than_usual(due=found.due, at=started_at):
        _brake(run, tally)
        return
    already = tally.destroyed
    with presence(RUN, number_of(run.pk)):
        for ids in selection.batches(at=started_at, size=settings.PURGE_BATCH_SIZE):
            batch = steps.withdraw(
                run=run,
                conversation_ids=ids,
                token=worker.token,
                actor=ACTOR,
                now=worker.clock(),
            )
            if batch is not None:
                tally.run_id = run.pk
                tally.withdrawn += len(batch.conversation_ids)
                worker.finish(batch)
                worker.progress(tally.destroyed, already + found.due)
        if tally.run_id is not None:
            _close(run, clock=worker.clock)


@transaction.atomic
def _brake(run: PurgeRun, tally: Tally) -> None:
    """Stop before beginning; a run that is braked already is brought up to date, not repeated."""
    tally.is_braked = True
    newest = PurgeRun.objects.select_for_update().order_by("-started_at").first()
    if newest is not None and newest.state == PurgeRun.State.BRAKED:
        tally.run_id = newest.pk
        PurgeRun.objects.filter(pk=newest.pk).update(
            heartbeat_at=run.started_at, due_count=run.due_count, held_count=run.held_count
        )
        return
    tally.run_id = run.pk
    run.state = PurgeRun.State.BRAKED
    run.save(force_insert=True)
    _append_run(EventType.PURGE_RUN_BRAKED, run, {"due": run.due_count, "held": run.held_count})


def _close_abandoned(clock: Clock) -> None:
    """Close runs whose worker is gone and whose conversations have all been seen to."""
    in_work = Destruction.objects.open().filter(
        run=OuterRef("pk"), needs_person_at=None, next_try_at=None, problem=""
    )
    running = PurgeRun.objects.filter(state=PurgeRun.State.RUNNING).exclude(Exists(in_work))
    for run in running:
        with transaction.atomic():
            is_worked_at = is_there(RUN, number_of(run.pk))
        if not is_worked_at:
            _close(run, clock=clock)


@transaction.atomic
def _close(run: PurgeRun, *, clock: Clock) -> None:
    now = clock()
    lines = Destruction.objects.filter(run=run)
    closed = PurgeRun.objects.filter(pk=run.pk, state=PurgeRun.State.RUNNING).update(
        state=PurgeRun.State.FINISHED, finished_at=now, heartbeat_at=now
    )
    if closed:
        _append_run(
            EventType.PURGE_RUN_FINISHED,
            run,
            {
                "due": run.due_count,
                "withdrawn": lines.filter(recalled_at=None).count(),
                "destroyed": lines.filter(concluded_at__isnull=False).count(),
                "failed": lines.open().count(),
            },
            at=clock,
        )


def _append_run(
    event_type: EventType, run: PurgeRun, facts: dict[str, FactValue], *, at: Clock | None = None
) -> None:
    append(
        event_type=event_type,
        actor=ACTOR,
        now=at() if at is not None else run.started_at,
        log=None,
        target=Target("purge_run", str(run.pk)),
        facts=facts,
    )


def _raise_incident(*, kind: str, clock: Clock) -> None:
    with transaction.atomic():
        append(
            event_type=EventType.INCIDENT_RAISED,
            actor=ACTOR,
            now=clock(),
            log=None,
            outcome=Outcome.ERROR,
            facts={"kind": kind},
        )
