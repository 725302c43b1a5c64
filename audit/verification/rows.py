"""Reads the tables of a log as they are, a stretch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from audit.events import INSTALLATION

LEAVES_AT_ONCE = 10_000

# The database knows times that Python does not, infinity among them: brought within a calendar.
_LEAVES = """
SELECT l.leaf_index, l.hash, l.event, l.about_conversation, l.month,
    e.body, least(greatest(e.recorded_at, '0001-01-02'), '9999-12-30'), e.event_id,
    least(greatest(e.happened_at, '0001-01-02'), '9999-12-30'), e.event_type, e.actor, e.actor_role,
    e.target_kind, e.target, e.subject, e.purpose, e.basis, e.outcome, e.conversation,
    d.salt, d.text
FROM audit_leaf l
LEFT JOIN audit_event e ON e.id = l.event AND e.log = l.log
    AND e.about_conversation = l.about_conversation AND e.month = l.month
LEFT JOIN audit_detail d ON d.event_id = e.event_id
WHERE l.log = %s AND l.leaf_index >= %s AND l.leaf_index < %s ORDER BY l.leaf_index
"""


class Row(NamedTuple):
    """A leaf with its event, whose members are None where it is missing, and its detail."""

    leaf_index: int
    hash: bytes
    event: int
    about_conversation: bool
    month: Any
    body: str | None
    recorded_at: datetime
    event_id: UUID
    happened_at: datetime
    event_type: str
    actor: str
    actor_role: str | None
    target_kind: str | None
    target: str | None
    subject: UUID | None
    purpose: str | None
    basis: str | None
    outcome: str
    conversation: UUID | None
    salt: bytes | None
    text: str | None


class Head(NamedTuple):
    """A signed head as its row says it."""

    size: int
    origin: str
    root: bytes
    note: str
    fingerprint: str
    sealed_at: datetime


def stretches(log: str) -> Iterator[list[Row]]:
    """Give the leaves of a log in their order, thousands at a time."""
    first = 0
    while True:
        with connection.cursor() as cursor:
            # By the whole key, row by row: any other plan would read months for a stretch.
            cursor.execute("SET LOCAL enable_hashjoin = off")
            cursor.execute("SET LOCAL enable_mergejoin = off")
            cursor.execute(_LEAVES, [log, first, first + LEAVES_AT_ONCE])
            rows = [Row(*row) for row in cursor.fetchall()]
            if not rows:
                cursor.execute(
                    "SELECT min(leaf_index) FROM audit_leaf WHERE log = %s AND leaf_index >= %s",
                    [log, first],
                )
                following = cursor.fetchone()[0]
                if following is None:
                    return
                cursor.execute(_LEAVES, [log, following, following + 1])
                rows = [Row(*row) for row in cursor.fetchall()]
        yield [row._replace(hash=bytes(row.hash)) for row in rows]
        first += LEAVES_AT_ONCE


def heads_of(log: str) -> Iterator[Head]:
    """Give the heads of a log by their size."""
    after = -1
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT size, origin, root, note, fingerprint, "
                "least(greatest(sealed_at, '0001-01-02'), '9999-12-30') FROM audit_checkpoint "
                "WHERE log = %s AND size > %s ORDER BY size LIMIT %s",
                [log, after, LEAVES_AT_ONCE],
            )
            rows = [Head(*row) for row in cursor.fetchall()]
        if not rows:
            return
        for row in rows:
            yield row._replace(root=bytes(row.root))
        after = rows[-1].size


def nodes_of(log: str) -> dict[tuple[int, int], bytes]:
    """Give the inner hashes of a log by level and number."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT level, node_index, hash FROM audit_node WHERE log = %s", [log])
        return {(level, number): bytes(value) for level, number, value in cursor.fetchall()}


def columns_unlike(row: Row, body: dict[str, Any], log: str) -> list[str]:
    """Name the columns that say something else than the body they were read from."""
    act, obj, facts = body.get("act") or {}, body.get("obj") or {}, body.get("x") or {}
    conversation = obj.get("ref") if obj.get("t") == "conversation" else facts.get("conversation")
    recorded = row.recorded_at.astimezone(UTC)
    expected = {
        "event_id": body.get("id"),
        "happened_at": body.get("ts"),
        "event_type": body.get("op"),
        "actor": act.get("ref"),
        "actor_role": act.get("role"),
        "target_kind": obj.get("t"),
        "target": obj.get("ref"),
        "subject": body.get("sub"),
        "purpose": body.get("pur"),
        "basis": body.get("bas"),
        "outcome": body.get("out"),
        "conversation": conversation,
        "log": body.get("ctl", INSTALLATION),
        "about_conversation": conversation is not None,
        "month": (recorded.year, recorded.month),
    }
    said = {
        "event_id": _text(row.event_id),
        "happened_at": f"{row.happened_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
        "event_type": row.event_type,
        "actor": row.actor,
        "actor_role": row.actor_role,
        "target_kind": row.target_kind,
        "target": row.target,
        "subject": _text(row.subject),
        "purpose": row.purpose,
        "basis": row.basis,
        "outcome": row.outcome,
        "conversation": _text(row.conversation),
        "log": log,
        "about_conversation": row.about_conversation,
        "month": (row.month.year, row.month.month),
    }
    return [] if said == expected else [name for name in said if said[name] != expected[name]]


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
