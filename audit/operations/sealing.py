"""Gives committed events their place in the tree of their log, and signs its head."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import cast

from django.conf import settings
from django.db import connection, transaction

from audit import trees
from audit.events import Actor, EventType, Target, log_of
from audit.merkle import Frontier, KeptNode, leaf_hash
from audit.models import Checkpoint, Event, Log, Origin, SealingKey
from audit.notes import Checkpoint as Head
from audit.notes import Signer, fingerprint, public_bytes
from audit.operations.events import append
from audit.sealing_keys import Keys, SealingKeysUnavailable

ACTOR = Actor.system("sealer")
# The first of the two numbers of our advisory lock in PostgreSQL; the second is the log's.
SEALING = 0x5345


class TreeAltered(Exception):
    """The tables of a log's tree no longer give the root that was signed: nothing is sealed."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one step of the sealer did for one log."""

    log: str
    events: int
    size: int
    is_more: bool  # more events wait than one step takes
    vanished: int = 0  # events that were in the queue and are no longer in the log


@dataclass(frozen=True, slots=True)
class _Row:
    event: int
    about_conversation: bool
    month: date
    event_type: str | None
    body: str | None


class Sealer:
    """Seals logs one step at a time; remembers the frontier of each, and checks it each time."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._frontiers: dict[str, Frontier] = {}

    def seal(self, *, log: str, now: datetime, limit: int | None = None) -> Sealed | None:
        """
        Seal what waits in one log, up to `limit` events, in one transaction.

        Gives None if nothing waits or another sealer is at it. The checkpoint may be shown to
        anybody once this has returned: before, a crash could let two be signed for one size.

        Raises TreeAltered, SealingKeysUnavailable, `django.db.DatabaseError`.
        """
        limit = limit or settings.AUDIT_SEAL_BATCH_SIZE
        try:
            with transaction.atomic(durable=True):
                return self._seal(log, now, limit) if _is_alone(log) else None
        except BaseException:
            self._frontiers.pop(log, None)
            raise

    def _seal(self, log: str, now: datetime, limit: int) -> Sealed | None:
        taken = _take(log, limit)
        if not taken:
            return None
        rows = [row for row in taken if row.body is not None]
        if vanished := len(taken) - len(rows):
            _raise_incident(log, vanished, now)
        if not rows:
            return Sealed(log, 0, 0, len(taken) == limit, vanished)
        previous = trees.newest_checkpoint(log=log)
        frontier = self._frontier(log, previous)
        first = frontier.size
        hashes = [leaf_hash(cast(str, row.body).encode()) for row in rows]
        nodes = frontier.extend(hashes)
        _write_tree(log, first, rows, hashes, nodes)
        self._sign(log, frontier, rows, previous, now)
        self._frontiers[log] = frontier
        return Sealed(log, len(rows), frontier.size, len(taken) == limit, vanished)

    def _frontier(self, log: str, newest: Checkpoint | None) -> Frontier:
        if newest is None:
            return Frontier()
        known = self._frontiers.get(log)
        if known is None or known.size != newest.size:
            try:
                known = trees.tree(log=log, size=newest.size).frontier()
            except trees.TreeIncomplete as error:
                raise TreeAltered(str(error)) from error
        if known.root() != bytes(newest.root):
            raise TreeAltered(
                f"The tree of log {log} no longer has the root that was signed for {newest.size} "
                "events. Nothing more is sealed in it until somebody has found out why."
            )
        return known.copy()

    def _sign(
        self,
        log: str,
        frontier: Frontier,
        rows: Sequence[_Row],
        previous: Checkpoint | None,
        now: datetime,
    ) -> None:
        origin = trees.current_origin(log=log) or Origin.objects.create(
            log=log, number=1, origin=origin_name(log, 1), from_size=0, started_at=now
        )
        if origin.origin != origin_name(log, origin.number):
            raise TreeAltered(
                f"Log {log} is signed as {origin.origin}, and AUDIT_ORIGIN names another. Set it "
                "to what it was: under another name its anchors would not be found."
            )
        if previous is not None and previous.origin != origin.origin:
            _check_declared(origin)
        signers = self._signers(rows, previous)
        head = Head(origin.origin, frontier.size, frontier.root())
        Checkpoint.objects.create(
            log=log,
            size=head.size,
            origin=head.origin,
            root=head.root,
            note=head.signed(*signers),
            fingerprint=_fingerprint(signers[0]),
            sealed_at=now,
        )

    def _signers(self, rows: Sequence[_Row], previous: Checkpoint | None) -> list[Signer]:
        """
        Give who signs: the key that signed last, until one introduced in its place is sealed.

        The checkpoint that seals an introduction is signed by both, so that whoever trusts the old
        key can go on to the new one.
        """
        introduced = [
            cast(dict[str, str], json.loads(cast(str, row.body))["x"])
            for row in rows
            if row.event_type == EventType.SEALING_KEY_INTRODUCED
        ]
        if introduced:
            names = [introduced[-1]["key"], *(facts.get("previous", "") for facts in introduced)]
        elif previous is not None:
            names = [previous.fingerprint]
        else:
            newest = SealingKey.objects.order_by("-number").values_list("fingerprint", flat=True)
            names = list(newest[:1])
        found = [key for name in dict.fromkeys(names) if name and (key := self._keys.find(name))]
        if not found or _fingerprint(found[0]) != names[0]:
            raise SealingKeysUnavailable(
                "The key that signs this log is not where the sealing keys are."
            )
        return found


@transaction.atomic
def introduce_key(*, keys: Keys, now: datetime) -> str | None:
    """
    Record in every log the key that signs from now on, if it is new; the first one is made.

    Gives the fingerprint of a key that was introduced. A key that was lost is replaced by a new
    one only by hand: see `docs/how-to/witness-the-audit-log.md`.

    Raises SealingKeysUnavailable.
    """
    if not _is_alone("keys"):
        return None
    newest = SealingKey.objects.order_by("-number").first()
    key = keys.current()
    if key is None:
        if newest is not None:
            raise SealingKeysUnavailable("There is no sealing key where they are.")
        key = keys.create(now=now)
    public_key = public_bytes(key.public_key())
    name = fingerprint(public_key)
    if SealingKey.objects.filter(fingerprint=name).exists():
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_sealing_key (fingerprint, public_key, introduced_at) "
            "VALUES (%s, %s, %s)",
            [name, public_key, now],
        )
    for log in Log.objects.order_by("name").values_list("name", flat=True):
        append(
            event_type=EventType.SEALING_KEY_INTRODUCED,
            actor=ACTOR,
            now=now,
            log=log_of(log),
            target=Target("log", log),
            facts={"key": name, "previous": newest.fingerprint if newest else None},
        )
    return name


def waiting_logs() -> list[str]:
    """Find the logs in which events wait to be sealed."""
    with connection.cursor() as cursor:
        # One probe of the index for each log, however long the queue.
        cursor.execute(
            "WITH RECURSIVE waiting AS ("
            "(SELECT log FROM audit_unsealed ORDER BY log LIMIT 1) UNION ALL "
            "SELECT (SELECT u.log FROM audit_unsealed u WHERE u.log > w.log ORDER BY u.log LIMIT 1)"
            " FROM waiting w WHERE w.log IS NOT NULL) "
            "SELECT log FROM waiting WHERE log IS NOT NULL"
        )
        return [log for (log,) in cursor.fetchall()]


def origin_name(log: str, number: int) -> str:
    """Name a log to the world: the installation, the log, and which life of it."""
    name = f"{settings.AUDIT_ORIGIN}/{log}"
    return name if number == 1 else f"{name}/{number}"


def _check_declared(origin: Origin) -> None:
    """Make sure that the log says of a later origin which head was lost. Raises TreeAltered."""
    lost = trees.lost_head(origin)
    declared = Event.objects.filter(log=origin.log, event_type=EventType.LOG_RESTARTED.value)
    if lost is None or not declared.filter(body__contains=lost.root.hex()).exists():
        raise TreeAltered(
            f"Log {origin.log} has the origin {origin.origin}, and no event says that it was "
            "restarted. Nothing more is sealed in it until somebody has found out why."
        )


def _is_alone(what: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", [SEALING, what])
        return bool(cursor.fetchone()[0])


def _take(log: str, limit: int) -> list[_Row]:
    with connection.cursor() as cursor:
        # By the whole key, row by row: any other plan would read months of events for a few.
        cursor.execute("SET LOCAL enable_hashjoin = off")
        cursor.execute("SET LOCAL enable_mergejoin = off")
        cursor.execute(
            "WITH oldest AS MATERIALIZED ("
            " SELECT event FROM audit_unsealed WHERE log = %(log)s ORDER BY event LIMIT %(limit)s"
            "), taken AS (DELETE FROM audit_unsealed u USING oldest o"
            " WHERE u.log = %(log)s AND u.event = o.event"
            " RETURNING u.event, u.about_conversation, u.month) "
            "SELECT t.event, t.about_conversation, t.month, e.event_type, e.body "
            "FROM taken t LEFT JOIN audit_event e ON e.id = t.event AND e.log = %(log)s "
            "AND e.about_conversation = t.about_conversation AND e.month = t.month "
            "ORDER BY t.event",
            {"log": log, "limit": limit},
        )
        return [_Row(*row) for row in cursor.fetchall()]


def _write_tree(
    log: str,
    first: int,
    rows: Sequence[_Row],
    hashes: Sequence[bytes],
    nodes: Sequence[KeptNode],
) -> None:
    with connection.cursor() as cursor:
        with cursor.copy(
            "COPY audit_leaf (log, leaf_index, event, about_conversation, month, hash) FROM STDIN"
        ) as copy:
            for index, (row, value) in enumerate(zip(rows, hashes, strict=True), start=first):
                copy.write_row((log, index, row.event, row.about_conversation, row.month, value))
        if nodes:
            with cursor.copy("COPY audit_node (log, level, node_index, hash) FROM STDIN") as copy:
                for node in nodes:
                    copy.write_row((log, node.level, node.number, node.hash))


def _raise_incident(log: str, vanished: int, now: datetime) -> None:
    append(
        event_type=EventType.INCIDENT_RAISED,
        actor=ACTOR,
        now=now,
        log=log_of(log),
        target=Target("log", log),
        facts={"kind": "unsealed_events_vanished", "objects": vanished},
    )


def _fingerprint(key: Signer) -> str:
    return fingerprint(public_bytes(key.public_key()))
