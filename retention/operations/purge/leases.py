"""Who works at which destructions, until when: leases with fencing tokens, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, QuerySet

from audit.events import Actor, EventType, NewEvent, Outcome, Target
from audit.operations import append_many
from recordings.models import among
from retention.models import Destruction
from retention.models.purge import DestructionQuerySet
from retention.operations.purge.presence import WORKER, is_there, presence

# After a first failed try, one minute; after each further one, four times as long.
FIRST_RETRY_SECONDS = 60
RETRY_FACTOR = 4

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Batch:
    """Destructions that one worker holds under one token; others may since have taken some."""

    token: int
    conversation_ids: tuple[UUID, ...]

    def rows(self) -> QuerySet[Destruction]:
        """Those of them that are still open and still held under this token."""
        return Destruction.objects.open().filter(
            among("conversation_id", self.conversation_ids), lease_token=self.token
        )

    def locked(self) -> QuerySet[Destruction]:
        """
        Those still ours, locked until the transaction ends; every write goes by them.

        Lock the conversations first: placing a hold does so in that order too.
        """
        return self.rows().select_for_update().order_by("pk")


def new_token() -> int:
    """A number larger than any given out before."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('retention_lease_token')")
        (token,) = cursor.fetchone()
    return int(token)


@contextmanager
def at_work() -> Iterator[int]:
    """Be at work under a new token, seen to be there until it ends."""
    token = new_token()
    with presence(WORKER, token):
        yield token


def lease_end(now: datetime) -> datetime:
    """Until when a lease taken or renewed now holds."""
    return now + timedelta(seconds=settings.PURGE_LEASE_SECONDS)


@transaction.atomic
def claim(*, token: int, now: datetime, most: int | None = None) -> Batch | None:
    """
    Take over destructions that were begun and that nobody works at, the oldest first.

    A try that was killed leaves its mark in `attempts`. What was tried together is then tried in
    ever smaller batches, after what was not, and at last one by one: so one that kills its worker
    is found out and does not take the others with it. What this token has tried already waits for
    another one's turn.

    At `most` so many at once. Returns None if there is nothing to take.
    """
    claimable = (
        _claimable(now=now).filter(attempts__lt=settings.PURGE_ATTEMPTS).exclude(lease_token=token)
    )
    first = claimable.order_by("attempts", "withdrawn_at", "pk").first()
    if first is None:
        return None
    size = min(batch_size(first.attempts), most or settings.PURGE_BATCH_SIZE)
    rows = list(
        claimable.filter(attempts=first.attempts)
        .order_by("withdrawn_at", "pk")
        .select_for_update(skip_locked=True)[:size]
    )
    if not rows:
        return None
    Destruction.objects.filter(pk__in=[row.pk for row in rows]).update(
        lease_token=token, leased_until=lease_end(now), attempts=F("attempts") + 1
    )
    return Batch(token, tuple(row.conversation_id for row in rows))


def _claimable(*, now: datetime) -> DestructionQuerySet:
    """Those whose lease is over, or whose worker is gone."""
    leased = Destruction.objects.open().filter(leased_until__gt=now)
    tokens = leased.order_by("lease_token").values_list("lease_token", flat=True).distinct()
    gone = [token for token in tokens if not is_there(WORKER, token)]
    waiting = Destruction.objects.claimable(at=now)
    if not gone:
        return waiting
    return waiting | Destruction.objects.open().filter(needs_person_at=None, lease_token__in=gone)


def batch_size(attempts: int) -> int:
    """How many to try at once after so many tries that ended without a word."""
    last = settings.PURGE_ATTEMPTS - 1
    if attempts <= 0 or last <= 0:
        return int(settings.PURGE_BATCH_SIZE)
    size: int = settings.PURGE_BATCH_SIZE
    shrunk: float = size ** ((last - attempts) / last)
    return max(1, round(shrunk))


def progressed(now: datetime) -> dict[str, object]:
    """What every completed step writes: the lease renewed, and only this try counted."""
    return {"leased_until": lease_end(now), "attempts": 1, "problem": "", "next_try_at": None}


@transaction.atomic
def postpone(
    *,
    batch: Batch,
    conversation_ids: Sequence[UUID] | None = None,
    problem: str,
    is_their_fault: bool,
    actor: Actor,
    now: datetime,
) -> int:
    """
    Give back those that could not be finished, to be tried again later.

    What failed for a reason of its own waits ever longer, and in the end needs a person; an outage
    of the store counts for none of them and they are tried by the next run. Returns how many.
    """
    rows = batch.rows()
    if conversation_ids is not None:
        rows = rows.filter(conversation__in=conversation_ids)
    failed = list(rows.select_for_update().order_by("pk"))
    for row in failed:
        tries = row.attempts if is_their_fault else row.attempts - 1
        row.attempts = max(0, tries)
        row.problem = problem
        row.leased_until = None
        wait = FIRST_RETRY_SECONDS * RETRY_FACTOR ** max(0, tries - 1)
        row.next_try_at = now + timedelta(seconds=wait) if is_their_fault else None
        if is_their_fault and row.attempts >= settings.PURGE_ATTEMPTS:
            row.needs_person_at = now
    Destruction.objects.bulk_update(
        failed, ["attempts", "problem", "leased_until", "next_try_at", "needs_person_at"]
    )
    append_many(
        events=[
            failure(row, actor=actor, now=now, error="store.objects_remain")
            for row in failed
            if is_their_fault
        ]
    )
    return len(failed)


@transaction.atomic
def wait_for_locks(
    *, batch: Batch, locked_until: Mapping[UUID, datetime], actor: Actor, now: datetime
) -> int:
    """
    Give back those that a retention date of the store protects, to be tried again when it is over.

    The try does not count: no other would have done better. Returns how many.
    """
    if not locked_until:
        return 0
    locked = list(batch.locked().filter(among("conversation_id", locked_until)))
    for row in locked:
        until = locked_until[row.conversation_id]
        row.attempts = max(0, row.attempts - 1)
        row.problem = f"The store protects it until {until:%Y-%m-%d %H:%M} UTC."
        row.leased_until, row.next_try_at = None, until
    Destruction.objects.bulk_update(locked, ["attempts", "problem", "leased_until", "next_try_at"])
    append_many(events=[failure(row, actor=actor, now=now, error="store.locked") for row in locked])
    return len(locked)


@transaction.atomic
def give_up_on_killers(*, actor: Actor, now: datetime) -> int:
    """Set aside for a person what has ended every try without a word. Returns how many."""
    rows = list(
        _claimable(now=now)
        .filter(attempts__gte=settings.PURGE_ATTEMPTS)
        .select_for_update(skip_locked=True)
    )
    Destruction.objects.filter(pk__in=[row.pk for row in rows]).update(
        needs_person_at=now, leased_until=None, problem="Each try at it ended without a word."
    )
    append_many(events=[failure(row, actor=actor, now=now, error="worker.ended") for row in rows])
    return len(rows)


@transaction.atomic
def try_again(*, conversation_ids: Sequence[UUID], actor: Actor, now: datetime) -> list[UUID]:
    """
    Let destructions that were set aside for a person be tried by the next run.

    Returns those that were set aside; others are left as they are.
    """
    rows = list(
        Destruction.objects.open()
        .filter(conversation__in=conversation_ids, needs_person_at__isnull=False)
        .select_for_update()
    )
    Destruction.objects.filter(pk__in=[row.pk for row in rows]).update(
        needs_person_at=None, attempts=0, next_try_at=None
    )
    append_many(
        events=[
            NewEvent(
                event_type=EventType.DESTRUCTION_RETRIED,
                actor=actor,
                now=now,
                log=row.controller_id,
                target=Target("conversation", str(row.conversation_id)),
                facts={"run": row.run_id, "count": row.attempts},
            )
            for row in rows
        ]
    )
    return [row.conversation_id for row in rows]


def failure(row: Destruction, *, actor: Actor, now: datetime, error: str) -> NewEvent:
    """The event that a try at a destruction failed."""
    return NewEvent(
        event_type=EventType.DESTRUCTION_FAILED,
        actor=actor,
        now=now,
        log=row.controller_id,
        target=Target("conversation", str(row.conversation_id)),
        outcome=Outcome.ERROR,
        facts={"run": row.run_id, "error": error, "count": row.attempts},
    )
