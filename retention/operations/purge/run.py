"""One purge run: finishes what earlier ones began, then takes what is due, to the last."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import Exists, OuterRef

from audit.checks import NotOpen, refuse_unless_open
from audit.events import EventType, FactValue, Target
from audit.operations import append
from recordings.objectstore import ObjectStore, StoreError
from retention.models import Destruction, PurgeRun
from retention.models.purge import DestructionQuerySet
from retention.operations.purge import control, leases, selection, steps
from retention.operations.purge.leases import Batch, Clock
from retention.operations.purge.pace import Pace
from retention.operations.purge.presence import RUN, is_there, number_of, presence
from retention.operations.purge.watchdog import BatchStuck
from retention.operations.purge.worker import ACTOR, Progress, PurgeStopped, Tally, Worker
from retention.operations.releases import use_release

__all__ = ["Progress", "PurgeStopped", "Tally", "finish", "purge"]

logger = logging.getLogger(__name__)

# One deletes, another writes the ledger of the next batch.
STORE_CALLS = 2


def _say_nothing(_done: int, _total: int, /, word: str = "") -> None:
    """Tell nobody."""


def _never() -> bool:
    return False


def purge(
    *,
    content: ObjectStore,
    anchor: ObjectStore,
    clock: Clock,
    progress: Progress = _say_nothing,
    is_asked_to_stop: Callable[[], bool] = _never,
) -> Tally:
    """
    Destroy what is due, beginning with what earlier runs left unfinished.

    Killed at any point, the next call finishes. Two calls at once do no harm. A call that finds
    nothing to do writes nothing. Time is asked of `clock`, the database's, as the run goes on.
    Paused before it begins it ends at once, later it waits; asked to stop, it ends after the batch
    it is at.

    Raises:
        PurgeStopped: the audit log or the database cannot be written, the store is down, its
            clock disagrees, it removed what it should not, or the database was restored from a
            backup. The sentence says which.
    """
    try:
        refuse_unless_open()
    except NotOpen as closed:
        raise PurgeStopped(str(closed)) from closed
    return _run(content, anchor, clock, progress, is_asked_to_stop)


def finish(
    *, content: ObjectStore, anchor: ObjectStore, clock: Clock, progress: Progress = _say_nothing
) -> Tally:
    """
    Finish what was begun and take nothing more, on a database that is not open yet too.

    Raises PurgeStopped: as `purge`, or it was paused.
    """
    if control.is_paused():
        raise PurgeStopped("The purge is paused: let it go on first (manage.py purge --resume).")
    return _run(content, anchor, clock, progress, _never, takes_due=False)


def _run(
    content: ObjectStore,
    anchor: ObjectStore,
    clock: Clock,
    progress: Progress,
    is_asked_to_stop: Callable[[], bool],
    *,
    takes_due: bool = True,
) -> Tally:
    pace = Pace(settings.PURGE_BATCH_SIZE, settings.PURGE_MAX_PER_MINUTE)
    try:
        with ThreadPoolExecutor(STORE_CALLS, "purge-store") as store, leases.at_work() as token:
            worker = Worker(token, content, anchor, clock, progress, pace, is_asked_to_stop, store)
            worker.check_clocks()
            if control.is_paused():
                worker.tally.is_stopped = True
            else:
                _finish_begun(worker)
                _close_abandoned(clock)
            if takes_due:
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


def _finish_begun(worker: Worker) -> None:
    """Finish what other calls have begun, one batch after the other: see `leases.claim`."""
    leases.give_up_on_killers(actor=ACTOR, now=worker.clock())
    worker.total = _open().filter(needs_person_at=None).count()
    while worker.may_go_on() and (
        batch := leases.claim(token=worker.token, now=worker.clock(), most=worker.pace.size)
    ):
        worker.runs = set(batch.rows().order_by().values_list("run", flat=True).distinct())
        worker.finish(batch)
    worker.runs = set()


def _take_due(worker: Worker) -> None:
    if worker.tally.is_stopped:
        return
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
    most = None
    with presence(RUN, number_of(run.pk)):
        if selection.is_much_more_than_usual(due=found.due, at=started_at):
            most = _go_ahead_if_released(run)
            if most is None:
                _brake(run, tally)
                return
            tally.run_id = run.pk
        worker.total = tally.destroyed + run.due_count
        worker.finish_all(_withdrawn(worker, run, most=most))
        if tally.run_id is not None:
            _close(run, clock=worker.clock)


def _withdrawn(worker: Worker, run: PurgeRun, *, most: int | None) -> Iterator[Batch]:
    """Withdraw what is due at the start of the run, or at most so many of it, batch by batch."""
    pages = selection.batches(at=run.started_at, size=lambda: worker.pace.size)
    while worker.may_go_on() and (ids := next(pages, None)) is not None:
        if most is not None:
            ids = ids[: most - worker.tally.withdrawn]
            if not ids:
                return
        batch = steps.withdraw(
            run=run,
            conversation_ids=ids,
            token=worker.token,
            actor=ACTOR,
            now=worker.clock(),
        )
        if batch is not None:
            worker.tally.run_id = run.pk
            worker.tally.withdrawn += len(batch.conversation_ids)
            worker.runs = {run.pk}
            yield batch


@transaction.atomic
def _go_ahead_if_released(run: PurgeRun) -> int | None:
    """
    How many two persons let this run take, no more than they knew of; None if they did not.

    One call alone can use the release; the others, at the same time, meet the brake.
    """
    most = use_release(now=run.started_at)
    if most is None:
        return None
    run.due_count = min(run.due_count, most)
    steps.begin(run=run, actor=ACTOR, now=run.started_at)
    return run.due_count


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
