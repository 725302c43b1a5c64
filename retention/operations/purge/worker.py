"""One worker at batches: the store deletes one while the rows of the next are seen to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import Any, Protocol, TypeVar
from uuid import UUID

from audit.events import Actor
from recordings.objectstore import ObjectStore, StoreError
from retention.models import PurgePause, PurgeRun
from retention.operations.purge import control, deletion, leases, steps
from retention.operations.purge.deletion import Answer, OthersVanished, Plan
from retention.operations.purge.leases import Batch, Clock
from retention.operations.purge.pace import Pace
from retention.operations.purge.watchdog import watched

T = TypeVar("T")

ACTOR = Actor.system("purge")
CLOCKS_MAY_DIFFER = timedelta(minutes=5)
CLOCKS_EVERY = timedelta(minutes=1)
# After so many batches in a row that the store did not take, it is down.
OUTAGE_BATCHES = 3
# While the store is waited for, runs show a sign of life, and orders are looked for.
BEAT_SECONDS = 1.0


class Progress(Protocol):
    """Told how many are done of how many, and in a word what keeps the run, if anything."""

    def __call__(self, done: int, total: int, /, word: str = "") -> None: ...


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
    is_stopped: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """A batch whose keys are destroyed and whose ledger is written."""

    batch: Batch
    plan: Plan


@dataclass(frozen=True, slots=True)
class Going:
    """A batch that the store has been given to delete."""

    ready: Ready
    answer: Future[Answer]
    since: float


@dataclass(slots=True)
class Worker:
    """Who works at batches in one call: what it may use, and what it has done."""

    token: int
    content: ObjectStore
    anchor: ObjectStore
    clock: Clock
    progress: Progress
    pace: Pace
    is_asked_to_stop: Callable[[], bool]
    store: ThreadPoolExecutor
    tally: Tally = field(default_factory=Tally)
    total: int = 0
    # The runs that show its signs of life.
    runs: set[UUID] = field(default_factory=set)
    _outages: int = 0
    _beaten_at: float = 0.0
    _clocks_agreed_at: datetime | None = None
    _in_hand: list[Batch] = field(default_factory=list)

    def check_clocks(self) -> None:
        """
        Refuse to go on while the database's clock and the store's disagree; ask once a minute.

        Raises StoreError, PurgeStopped.

        Source: threats, T8: a clock set forward must not purge early.
        """
        now = self.clock()
        if self._clocks_agreed_at is not None and now - self._clocks_agreed_at < CLOCKS_EVERY:
            return
        store_says = self._patiently(self.content.server_date)
        now = self.clock()
        if abs(store_says - now) > CLOCKS_MAY_DIFFER:
            control.pause(actor=ACTOR, now=now, reason=PurgePause.Reason.CLOCKS)
            raise PurgeStopped(
                "The clocks of the database and of the object store are more than 5 minutes "
                "apart: set them right first."
            )
        if self._clocks_agreed_at is None:
            control.resume(actor=ACTOR, now=now, reason=PurgePause.Reason.CLOCKS)
        self._clocks_agreed_at = now

    def may_go_on(self) -> bool:
        """Wait while runs are paused; say whether the next batch may be begun."""
        while not self.is_asked_to_stop() and not self._is_run_stopped():
            if not control.is_paused():
                self.check_clocks()
                return True
            self._rest(BEAT_SECONDS, word="paused")
        self.tally.is_stopped = True
        return False

    def finish(self, batch: Batch) -> None:
        """Take one batch, alone, through every step it has not had yet."""
        self.finish_all([batch])

    def finish_all(self, batches: Iterable[Batch]) -> None:
        """
        Take batches through every step, two at a time: each gets ready while the store deletes.

        Raises PurgeStopped, StoreError; what is in hand is given back then.
        """
        going: Going | None = None
        try:
            for batch in batches:
                began = monotonic()
                ready = self.prepare(batch)
                following = None
                if going is not None:
                    answer = self.wait(going)
                    following = self.begin(ready) if ready is not None else None
                    self.conclude(going, answer)
                elif ready is not None:
                    following = self.begin(ready)
                going = following
                count = len(batch.conversation_ids)
                wait = self.pace.wait_seconds(conversations=count, seconds=monotonic() - began)
                if wait:
                    if going is not None:
                        self.settle(going)
                        going = None
                    self._rest(wait, word="slowed down")
            if going is not None:
                self.settle(going)
        except (PurgeStopped, StoreError) as stopped:
            for batch in list(self._in_hand):
                self._postpone(batch, str(stopped), is_their_fault=False)
            raise

    @watched()
    def prepare(self, batch: Batch) -> Ready | None:
        """Destroy the keys and write the ledger. Returns None if the store did not take it."""
        self._in_hand.append(batch)
        try:
            self.tally.recalled += steps.destroy_keys(batch=batch, actor=ACTOR, now=self.clock())
            steps.write_ledger(batch=batch, anchor=_Patient(self), actor=ACTOR, now=self.clock())
        except StoreError as error:
            self._was_not_taken(batch, error)
            return None
        return Ready(batch, deletion.plan_of(batch))

    def begin(self, ready: Ready) -> Going:
        """Give the store a batch to delete."""
        future = self.store.submit(deletion.delete, ready.plan, store=self.content)
        return Going(ready, future, monotonic())

    def settle(self, going: Going) -> None:
        """Wait until the store has deleted a batch, and conclude it."""
        self.conclude(going, self.wait(going))

    def wait(self, going: Going) -> Answer | None:
        """
        Wait until the store has deleted a batch.

        Returns None if the store did not take it, which then waits for the next run.

        Raises PurgeStopped if the store is down, or has removed what it should not.
        """
        count = len(going.ready.plan.conversation_ids)
        try:
            answer = self._wait_for(going.answer, conversations=count, since=going.since)
            deletion.check_others(answer)
        except OthersVanished as incident:
            raise self._stop_for_good(incident) from incident
        except StoreError as error:
            self._was_not_taken(going.ready.batch, error)
            return None
        self._outages = 0
        self.pace.took(conversations=count, seconds=monotonic() - going.since)
        return answer

    @watched()
    def conclude(self, going: Going, answer: Answer | None) -> None:
        """Conclude those of a batch whose objects are confirmed to be gone; put off the others."""
        if answer is None:
            return
        batch, plan, now = going.ready.batch, going.ready.plan, self.clock()
        deleted_at = confirmed_at = now
        if strays := deletion.strays_of(plan, answer):
            steps.note_strays(batch=batch, strays=strays, now=now)
            failures = answer.failures
            try:
                answer = self._patiently(
                    lambda: deletion.delete_strays(strays, plan=plan, store=self.content)
                )
                deletion.check_others(answer)
            except OthersVanished as incident:
                raise self._stop_for_good(incident) from incident
            except StoreError as error:
                self._was_not_taken(batch, error)
                return
            answer.failures |= failures
            deleted_at = confirmed_at = self.clock()
        confirmed = deletion.confirmation(
            plan, answer, deleted_at=deleted_at, confirmed_at=confirmed_at
        )
        done = steps.conclude(
            batch=batch,
            gone=confirmed.gone,
            deleted_at=confirmed.deleted_at,
            confirmed_at=confirmed.confirmed_at,
            actor=ACTOR,
            now=self.clock(),
        )
        self.tally.destroyed += len(done)
        locked = {pk: until for pk, until in confirmed.locked_until.items() if until > now}
        self.tally.postponed += leases.wait_for_locks(
            batch=batch, locked_until=locked, actor=ACTOR, now=now
        )
        others = {pk: said for pk, said in confirmed.remaining.items() if pk not in locked}
        for problem in sorted(set(others.values())):
            left = [pk for pk, sentence in others.items() if sentence == problem]
            self._postpone(batch, problem, is_their_fault=True, conversation_ids=left)
        self._let_go(batch)
        self._beat(is_slow=self.pace.is_slow)
        self._show("slowed down" if self.pace.is_slow else "")

    def _was_not_taken(self, batch: Batch, error: StoreError) -> None:
        self._postpone(batch, str(error), is_their_fault=False)
        self.pace.failed()
        self._outages += 1
        if self._outages >= OUTAGE_BATCHES:
            raise PurgeStopped(str(error)) from error

    def _stop_for_good(self, incident: OthersVanished) -> PurgeStopped:
        steps.raise_incident(kind="store.removed_others", actor=ACTOR, now=self.clock())
        return PurgeStopped(str(incident))

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
        if conversation_ids is None:
            self._let_go(batch)

    def _let_go(self, batch: Batch) -> None:
        if batch in self._in_hand:
            self._in_hand.remove(batch)

    def _patiently(self, deed: Callable[[], T]) -> T:
        """Have the store do something, showing signs of life while it takes its time."""
        return self._wait_for(self.store.submit(deed), conversations=0, since=monotonic())

    def _wait_for(self, future: Future[T], *, conversations: int, since: float) -> T:
        while True:
            try:
                return future.result(timeout=BEAT_SECONDS)
            except NotYet:
                if future.done():
                    raise
                took = monotonic() - since
                is_slow = self.pace.is_taking_long(conversations=conversations, seconds=took)
                self._beat(is_slow=is_slow or self.pace.is_slow)
                self._show("slowed down" if is_slow else "")

    def _rest(self, seconds: float, *, word: str) -> None:
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0 and not self.is_asked_to_stop():
            sleep(min(left, BEAT_SECONDS))
            self._beat(is_slow=self.pace.is_slow)
            self._show(word)

    def _beat(self, *, is_slow: bool) -> None:
        """Show a sign of life, once a second at most."""
        if not self.runs or monotonic() - self._beaten_at < BEAT_SECONDS / 2:
            return
        self._beaten_at, now = monotonic(), self.clock()
        running = PurgeRun.objects.filter(pk__in=self.runs, state=PurgeRun.State.RUNNING)
        running.update(heartbeat_at=now)
        if is_slow:
            running.filter(slow_since=None).update(slow_since=now)
        else:
            running.exclude(slow_since=None).update(slow_since=None)

    def _is_run_stopped(self) -> bool:
        asked = PurgeRun.objects.filter(pk__in=self.runs, stop_asked_at__isnull=False)
        return bool(self.runs) and asked.exists()

    def _show(self, word: str) -> None:
        self.progress(self.tally.destroyed, max(self.total, self.tally.destroyed), word)


@dataclass(frozen=True, slots=True)
class _Patient:
    """The anchor bucket, while whose answer is waited for the runs show signs of life."""

    worker: Worker

    def put_locked(self, key: str, body: bytes, **options: Any) -> str:
        """Store a new object that nobody can remove for a while; see `ObjectStore.put_locked`."""
        worker = self.worker
        return worker._patiently(lambda: worker.anchor.put_locked(key, body, **options))
