"""Has an anchored head of each log stamped with the time once a day, without waiting for it."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings

from audit.anchoring import AnchorWriter
from audit.models import Anchor, Checkpoint, TimeStamp
from audit.operations.silences import Silences
from audit.operations.witnessing import SKEW
from audit.posting import ANSWER_SECONDS
from audit.time_stamps import Authority, NotStamped
from audit.time_stamps import TimeStamp as Said

STAMPED_EVERY = timedelta(days=1)
WHO = "time_stamping_authority"
KIND = "time_stamp_missing"


@dataclass(slots=True)
class Stamping:
    """
    Asks the authority, if there is one, in a thread of its own; see `Witnessing`.

    A log's first anchored head is stamped, and then the newest one a day after the last.
    """

    authority: Authority | None
    store: AnchorWriter
    _asked: dict[str, tuple[Checkpoint, Future[Said]]] = field(default_factory=dict)
    _silences: Silences = field(default_factory=Silences)
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="time_stamps")
    )

    def begin(self, *, log: str, now: datetime) -> None:
        """Ask for a time stamp of the log's newest anchored head, if one is due."""
        if self.authority is None or log in self._asked:
            return
        anchored = Anchor.objects.filter(log=log).order_by("-size").first()
        stamped = TimeStamp.objects.filter(log=log).order_by("-size").first()
        if anchored is None or (
            stamped is not None
            and (stamped.size == anchored.size or now < stamped.stamped_at + STAMPED_EVERY)
        ):
            return
        head = Checkpoint.objects.get(log=log, size=anchored.size)
        self._asked[log] = head, self._thread.submit(self.authority.ask, head.note)

    def collect(self, *, now: datetime) -> None:
        """
        Take in the answers that have come since.

        Raises `audit.anchoring.AnchorUnavailable`, `django.db.DatabaseError`.
        """
        for log, (head, answer) in list(self._asked.items()):
            if not answer.done():
                continue
            del self._asked[log]
            try:
                said = answer.result()
                if not head.sealed_at - SKEW <= said.at <= now + SKEW:
                    raise NotStamped("its clock is wrong.")  # noqa: TRY301
            except NotStamped as error:
                self._silences.note(
                    log=log, who=WHO, kind=KIND, why=str(error), is_grave=False, now=now
                )
            else:
                _keep(head, said, self.store, now)
                self._silences.end(log=log, who=WHO)

    def finish(self, *, now: datetime) -> None:
        """Wait until what was asked for has come or was given up; raises as `collect`."""
        wait([answer for _head, answer in self._asked.values()], timeout=2 * ANSWER_SECONDS)
        self.collect(now=now)

    def close(self) -> None:
        """Ask for nothing any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _keep(head: Checkpoint, said: Said, store: AnchorWriter, now: datetime) -> None:
    """Lay the time stamp beside the anchor, and then write it down."""
    anchored = Anchor.objects.get(log=head.log, size=head.size)
    key = f"{anchored.key}.tsr"
    retain_until = now + timedelta(days=settings.AUDIT_ANCHOR_KEPT_DAYS)
    store.put(key, said.response, retain_until=retain_until)
    row = TimeStamp(
        log=head.log,
        size=head.size,
        response=said.response,
        stamped_at=said.at,
        anchor_key=key,
    )
    # Another sealer may have kept one a moment before.
    TimeStamp.objects.bulk_create([row], ignore_conflicts=True)
