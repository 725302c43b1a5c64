"""One pass over a log, from its first leaf to its last head."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from django.db import connection, transaction

from audit import cuts, trees, verify
from audit.anchoring import AnchorReader
from audit.bodies import commitment
from audit.events import INSTALLATION, EventType
from audit.merkle import Frontier, leaf_hash
from audit.models import Cut, Origin, SealingKey
from audit.notes import VerifierKey, fingerprint
from audit.operations.sealing import origin_name
from audit.verification.anchors import Anchored
from audit.verification.rows import (
    LEAVES_AT_ONCE,
    Head,
    Row,
    columns_unlike,
    heads_of,
    nodes_of,
    stretches,
)
from audit.verification.time_stamps import count_stamped
from audit.verification.verdicts import MOST_FAULTS, Verdict
from audit.verification.witnesses import count_witnessed

# No transaction that writes an event lasts longer: by so much rows may come out of their order.
LONGEST_TRANSACTION = timedelta(hours=1)
SKEW = timedelta(seconds=5)

_UNSEALED = """
SELECT e.event_id, e.id, e.month FROM audit_event e
WHERE e.log = %(log)s
    AND NOT EXISTS (SELECT FROM audit_leaf l WHERE l.event = e.id AND l.log = e.log
        AND l.about_conversation = e.about_conversation AND l.month = e.month)
    AND NOT EXISTS (SELECT FROM audit_unsealed u WHERE u.log = e.log AND u.event = e.id)
ORDER BY e.id LIMIT %(limit)s
"""
_WAITING = """
SELECT e.body FROM audit_unsealed u
JOIN audit_event e ON e.id = u.event AND e.log = u.log
    AND e.about_conversation = u.about_conversation AND e.month = u.month
WHERE u.log = %(log)s AND e.event_type = %(kind)s
"""
_QUEUED = """
SELECT u.event, u.month, EXISTS (SELECT FROM audit_leaf l WHERE l.event = u.event)
FROM audit_unsealed u
LEFT JOIN audit_event e ON e.id = u.event AND e.log = u.log
    AND e.about_conversation = u.about_conversation AND e.month = u.month
WHERE u.log = %(log)s
    AND (e.id IS NULL OR EXISTS (SELECT FROM audit_leaf l WHERE l.event = u.event))
ORDER BY u.event LIMIT %(limit)s
"""


def verify_log(
    *,
    log: str,
    now: datetime,
    reader: AnchorReader | None,
    on_progress: Callable[[int], object] = lambda events: None,
) -> Verdict:
    """
    Check a log as it is at one instant; memory stays flat.

    Without a reader anchors are left out, and it cannot be told whether the log is intact.

    `on_progress` is told how many events were checked at each step.

    Raises `django.db.DatabaseError`.
    """
    verdict = Verdict(log)
    anchored = None
    if reader is None:
        verdict.cannot_tell("The anchored heads were not compared.")
    else:
        # Before the moment: what is anchored meanwhile is of events that it does not have.
        anchored = Anchored.listed(reader, verdict)
    with one_moment():
        checked = _Pass(verdict, now)
        checked.leaves(on_progress)
        checked.rows_without_leaf()
        checked.keys()
        checked.origins()
        count_witnessed(verdict)
        count_stamped(verdict)
        if anchored is not None:
            anchored.compare(checked.restarts)
    verdict.sort()
    return verdict


@contextmanager
def one_moment() -> Iterator[None]:
    """Read everything as it was when the first of it was read."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


class _Pass:
    """What one pass over the leaves of a log remembers."""

    def __init__(self, verdict: Verdict, now: datetime) -> None:
        self._verdict, self._log, self._now = verdict, verdict.log, now
        self._frontier = Frontier()
        self._nodes = nodes_of(self._log)
        self._cut = _Places(cuts.cut_ranges(log=self._log))
        self._cuts_told: set[str] = set()
        self._origins = {origin.origin: origin for origin in Origin.objects.filter(log=self._log)}
        self._public = {
            key.fingerprint: bytes(key.public_key) for key in SealingKey.objects.order_by("number")
        }
        self._previous: Head | None = None
        self._recorded_until = datetime.min.replace(tzinfo=UTC) + LONGEST_TRANSACTION
        self._introduced: set[str] = set()
        self.restarts: set[tuple[int, str]] = set()  # size and root of the heads declared lost
        self._used: dict[str, None] = {}

    def leaves(self, on_progress: Callable[[int], object]) -> None:
        """Go over leaves and heads, from the first on."""
        heads = heads_of(self._log)
        head = next(heads, None)
        since: list[Row] = []
        for rows in stretches(self._log):
            for row in rows:
                if row.leaf_index != self._frontier.size:
                    self._verdict.fault(
                        "the leaf is missing; what comes after it was not looked at.",
                        self._frontier.size,
                    )
                    self._verdict.size = self._frontier.size
                    return
                self._row(row)
                for node in self._frontier.extend([row.hash]):
                    if self._nodes.pop((node.level, node.number), None) != node.hash:
                        self._verdict.fault(
                            f"an inner hash (level {node.level}, number {node.number}) is not "
                            "that of the leaves below it.",
                            row.leaf_index,
                        )
                since.append(row)
                while head is not None and head.size <= self._frontier.size:
                    self._head(head, since)
                    self._previous, head, since = head, next(heads, None), []
                del since[:-LEAVES_AT_ONCE]
            on_progress(len(rows))
        size = self._frontier.size
        if head is not None:
            self._verdict.fault(
                f"{head.size - size} leaves are missing at the end: the log's signed heads say "
                f"{head.size}.",
                size,
            )
        elif size and (self._previous is None or self._previous.size != size):
            first = self._previous.size if self._previous else 0
            self._verdict.fault("no signed head has this leaf and those after it.", first)
        for level, number in islice(self._nodes, 1):
            self._verdict.fault(f"an inner hash (level {level}, number {number}) has no leaves.")
        if size == 0:
            self._verdict.cannot_tell("Nothing has been sealed in this log yet.")
        self._verdict.size = size
        self._verdict.root = self._frontier.root().hex()
        self._check_cuts()

    def rows_without_leaf(self) -> None:
        """Find events that were never sealed and do not wait to be, and what waits in vain."""
        asked: dict[str, str | int] = {"log": self._log, "limit": MOST_FAULTS}
        with connection.cursor() as cursor:
            cursor.execute(_UNSEALED, asked)
            for event_id, row, month in cursor.fetchall():
                self._verdict.fault(
                    f"the event is in the log (row {row}, month {month:%Y-%m}), was never sealed "
                    "and does not wait to be.",
                    event=event_id,
                )
            cursor.execute(_QUEUED, asked)
            for row, month, is_sealed in cursor.fetchall():
                self._verdict.fault(
                    f"row {row} of {month:%Y-%m} waits to be sealed a second time."
                    if is_sealed
                    else f"row {row} of {month:%Y-%m} waited to be sealed and has vanished.",
                    event=row,
                )

    def keys(self) -> None:
        """Check that every key is one that the installation's log has introduced."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT body::json #>> '{x,key}' FROM audit_event "
                "WHERE log = %s AND event_type = %s",
                [INSTALLATION, EventType.SEALING_KEY_INTRODUCED.value],
            )
            introduced = {key for (key,) in cursor.fetchall()}
        for name, public in self._public.items():
            if name != fingerprint(public):
                self._verdict.fault(f"the public key {name} is not the one of that name.")
            elif name not in introduced:
                self._verdict.fault(f"the key {name} was never introduced in the log.")
        self._verdict.keys = list(self._used)

    def origins(self) -> None:
        """Check that the log itself says of each of its later origins which head was lost."""
        waiting = {
            (facts["size"], facts["root"]) for facts in self._waiting(EventType.LOG_RESTARTED)
        }
        for origin in self._origins.values():
            if origin.number == 1:
                continue
            lost = trees.lost_head(origin)
            declared = (lost.size, lost.root.hex()) if lost else (-1, "")
            if declared in self.restarts:
                self._verdict.notes.append(
                    f"The log was restarted at {origin.from_size} events; it had been anchored "
                    f"with {declared[0]}."
                )
            elif declared in waiting:
                self._verdict.cannot_tell("That the log was restarted waits to be sealed.")
                self.restarts.add(declared)
            else:
                self._verdict.fault_from(
                    origin.from_size, f"the log was never restarted as {origin.origin} says."
                )

    def _waiting(self, kind: EventType) -> list[dict[str, Any]]:
        """Give the facts of events of a type that were committed and wait to be sealed."""
        with connection.cursor() as cursor:
            cursor.execute(_WAITING, {"log": self._log, "kind": kind.value})
            return [json.loads(body)["x"] for (body,) in cursor.fetchall()]

    def _row(self, row: Row) -> None:
        fault = self._verdict.fault
        if row.body is None:
            if row.leaf_index not in self._cut:
                fault(
                    f"the event (row {row.event}, month {row.month:%Y-%m}) is missing.",
                    row.leaf_index,
                    row.event,
                )
            return
        self._verdict.events += 1
        if leaf_hash(row.body.encode()) != row.hash:
            fault("the event is not the one that was sealed.", row.leaf_index, row.event_id)
            return
        body = json.loads(row.body)
        if wrong := columns_unlike(row, body, self._log):
            fault(
                f"{', '.join(wrong)} of the row differ from what was sealed.",
                row.leaf_index,
                row.event_id,
            )
        if (
            row.text is not None
            and row.salt is not None
            and commitment(salt=bytes(row.salt), text=row.text) != body.get("pd")
        ):
            fault("its detail is not the one that was sealed.", row.leaf_index, row.event_id)
        if body["op"] == EventType.SEALING_KEY_INTRODUCED:
            self._introduced.add(body["x"]["key"])
        elif body["op"] == EventType.AUDIT_CUT:
            self._cuts_told.add(body["x"]["leaves"])
        elif body["op"] == EventType.LOG_RESTARTED:
            self.restarts.add((body["x"]["size"], body["x"]["root"]))

    def _head(self, head: Head, since: list[Row]) -> None:
        fault, first = self._verdict.fault_from, self._previous.size if self._previous else 0
        if head.size != self._frontier.size or head.root != self._frontier.root():
            fault(
                first,
                f"the leaves from here to {head.size - 1} are not those of the head that was "
                "signed over them.",
            )
        origin = self._origins.get(head.origin)
        if origin is None or origin.origin != origin_name(self._log, origin.number):
            fault(first, f"the head of {head.size} events is of an origin that is not the log's.")
        self._signature(head, first)
        before = self._previous.sealed_at if self._previous else None
        if head.sealed_at > self._now + SKEW or (before and head.sealed_at < before):
            fault(first, f"the head of {head.size} events was dated to another time.")
        kept = [row for row in since if row.body is not None]
        for row in kept:
            is_late = max(row.recorded_at, row.happened_at) > head.sealed_at + SKEW
            is_early = row.recorded_at < self._recorded_until - LONGEST_TRANSACTION
            if is_late or is_early or row.recorded_at < row.happened_at - SKEW:
                self._verdict.fault(
                    "the row was dated to another time.", row.leaf_index, row.event_id
                )
        if kept:
            self._recorded_until = max(row.recorded_at for row in kept)

    def _signature(self, head: Head, first: int) -> None:
        fault, name = self._verdict.fault_from, head.origin
        public = self._public.get(head.fingerprint)
        if public is None:
            fault(first, f"the head of {head.size} events is signed by an unknown key.")
            return
        try:
            opened = verify.open_note(head.note, [str(VerifierKey(name, public))])
        except (verify.Tampered, verify.Incomplete) as error:
            fault(first, f"the head of {head.size} events: {error}")
            return
        if opened != (head.origin, head.size, head.root):
            fault(first, f"the head of {head.size} events is not what its signed note says.")
        previous = self._previous
        if previous is not None and previous.fingerprint != head.fingerprint:
            if head.fingerprint not in self._introduced:
                fault(
                    first, f"the head of {head.size} events is signed by a key nobody introduced."
                )
            old = self._public.get(previous.fingerprint, bytes(32))
            try:
                verify.open_note(head.note, [str(VerifierKey(name, old))])
            except (verify.Tampered, verify.Incomplete):
                self._verdict.cannot_tell(
                    f"At {head.size} events the key changed without the old key's signature."
                )
        self._used[head.fingerprint] = None

    def _check_cuts(self) -> None:
        told = self._cuts_told | {facts["leaves"] for facts in self._waiting(EventType.AUDIT_CUT)}
        for cut in Cut.objects.filter(log=self._log).exclude(done_at=None):
            if cuts.leaves_digest(cut=cut) not in told:
                self._verdict.fault(
                    "events were cut, and the log says nothing of it.", cut.first_leaf
                )


class _Places:
    """Ranges of leaves, asked from left to right."""

    def __init__(self, ranges: list[tuple[int, int]]) -> None:
        self._ranges = list(reversed(ranges))

    def __contains__(self, place: int) -> bool:
        while self._ranges and self._ranges[-1][1] <= place:
            self._ranges.pop()
        return bool(self._ranges) and self._ranges[-1][0] <= place
