"""Has anchored heads cosigned by witnesses, without waiting for them, and keeps what they say."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings

from audit import trees
from audit.anchoring import AnchorWriter
from audit.models import Anchor, Checkpoint, Cosignature
from audit.operations.silences import Silences
from audit.posting import ANSWER_SECONDS
from audit.witnesses import Cosignature as Said
from audit.witnesses import NotCosigned, Refusal, SeenOtherSize, Witness

SKEW = timedelta(minutes=5)


@dataclass(slots=True)
class _Asked:
    head: Checkpoint
    answer: Future[Said]
    is_again: bool  # from the size that the witness itself has named


@dataclass(slots=True)
class Witnessing:
    """
    Asks each witness for each log's newest anchored head, in a thread of the witness's own.

    A thread only talks to its witness: the database and the anchor are read and written by whoever
    calls `begin` and `collect`, and neither waits. A witness that is missing stops nothing.
    """

    witnesses: list[Witness]
    store: AnchorWriter
    _threads: dict[str, ThreadPoolExecutor] = field(init=False)
    _asked: dict[tuple[str, Witness], _Asked] = field(default_factory=dict)
    _silences: Silences = field(default_factory=Silences)

    def __post_init__(self) -> None:
        self._threads = {
            witness.vkey: ThreadPoolExecutor(1, thread_name_prefix="witness")
            for witness in self.witnesses
        }

    def begin(self, *, log: str) -> None:
        """
        Ask those who have not cosigned the log's newest anchored head and are not being asked.

        Raises `audit.trees.TreeIncomplete`.
        """
        newest = Anchor.objects.filter(log=log).order_by("-size").first()
        if newest is None or not self.witnesses:
            return
        head = Checkpoint.objects.get(log=log, size=newest.size)
        for witness in self.witnesses:
            seen = trees.witnessed_size(head=head, witness=witness.vkey)
            if seen < head.size and (log, witness) not in self._asked:
                self._ask(witness, head, seen)

    def collect(self, *, now: datetime) -> None:
        """
        Take in the answers that have come since.

        Raises `audit.anchoring.AnchorUnavailable`, `audit.trees.TreeIncomplete`,
        `django.db.DatabaseError`.
        """
        for (log, witness), asked in list(self._asked.items()):
            if not asked.answer.done():
                continue
            del self._asked[log, witness]
            try:
                said = asked.answer.result()
                _check_time(asked.head, said, now)
            except SeenOtherSize as other:
                self._ask_again(witness, asked, other, now)
            except NotCosigned as error:
                self._note(log, witness, error, now)
            else:
                _keep(asked.head, witness, said, self.store, now)
                self._silences.end(log=log, who=witness.name)

    def finish(self, *, now: datetime) -> None:
        """Wait until all who were asked have answered or were given up; raises as `collect`."""
        for _again in range(2):
            wait([asked.answer for asked in self._asked.values()], timeout=2 * ANSWER_SECONDS)
            self.collect(now=now)

    def close(self) -> None:
        """Ask nobody any more."""
        for thread in self._threads.values():
            thread.shutdown(wait=False, cancel_futures=True)

    def _ask(
        self, witness: Witness, head: Checkpoint, earlier: int, *, is_again: bool = False
    ) -> None:
        proof = trees.tree(log=head.log, size=head.size).consistency_proof(earlier)
        answer = self._threads[witness.vkey].submit(
            witness.ask, note=head.note, earlier=earlier, proof=proof
        )
        self._asked[head.log, witness] = _Asked(head, answer, is_again)

    def _ask_again(
        self, witness: Witness, asked: _Asked, other: SeenOtherSize, now: datetime
    ) -> None:
        head = asked.head
        if Checkpoint.objects.filter(log=head.log, size=other.size, size__gt=head.size).exists():
            return  # Another sealer was quicker with a later head.
        if other.size > head.size:
            why = f"{other}: more than there are"
            self._note(head.log, witness, NotCosigned(Refusal.INCONSISTENT, why), now)
        elif asked.is_again:
            why = f"{other}, and a moment before another size"
            self._note(head.log, witness, NotCosigned(Refusal.SILENT, why), now)
        else:
            self._ask(witness, head, other.size, is_again=True)

    def _note(self, log: str, witness: Witness, error: NotCosigned, now: datetime) -> None:
        self._silences.note(
            log=log,
            who=witness.name,
            kind=error.refusal.value,
            why=str(error),
            is_grave=error.refusal is Refusal.INCONSISTENT,
            now=now,
        )


def _check_time(head: Checkpoint, said: Said, now: datetime) -> None:
    if not head.sealed_at - SKEW <= said.witnessed_at <= now + SKEW:
        raise NotCosigned(Refusal.SILENT, "its clock is wrong")


def _keep(
    head: Checkpoint, witness: Witness, said: Said, store: AnchorWriter, now: datetime
) -> None:
    """Lay the cosigned note beside the anchor, and then write it down."""
    anchored = Anchor.objects.get(log=head.log, size=head.size)
    key = f"{anchored.key}.{witness.key_id}.cosigned"
    retain_until = now + timedelta(days=settings.AUDIT_ANCHOR_KEPT_DAYS)
    # A used key holds what the witness said before our row of it was lost: as good as this.
    store.put(key, (head.note + said.lines).encode(), retain_until=retain_until)
    row = Cosignature(
        log=head.log,
        size=head.size,
        witness=witness.vkey,
        lines=said.lines,
        witnessed_at=said.witnessed_at,
        anchor_key=key,
    )
    # Another sealer may have kept it a moment before.
    Cosignature.objects.bulk_create([row], ignore_conflicts=True)
