"""Reads the log in the order in which it was sealed: nothing can come in before what was read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction

# The database knows times that Python does not, infinity among them: brought within a calendar.
_LEAVES = """
SELECT l.leaf_index, e.body, e.event_id, e.event_type, e.outcome,
    least(greatest(e.happened_at, '0001-01-02'), '9999-12-30')
FROM audit_leaf l
LEFT JOIN audit_event e ON e.id = l.event AND e.log = l.log
    AND e.about_conversation = l.about_conversation AND e.month = l.month
WHERE l.log = %s AND l.leaf_index >= %s ORDER BY l.leaf_index LIMIT %s
"""
# One probe of the index for each log, however many leaves.
_LOGS = """
WITH RECURSIVE sealed AS (
    (SELECT log FROM audit_leaf ORDER BY log LIMIT 1)
    UNION ALL
    SELECT (SELECT l.log FROM audit_leaf l WHERE l.log > s.log ORDER BY l.log LIMIT 1)
    FROM sealed s WHERE s.log IS NOT NULL)
SELECT log, (SELECT max(leaf_index) + 1 FROM audit_leaf l WHERE l.log = s.log)
FROM sealed s WHERE log IS NOT NULL
"""
# JSON as the database takes it may hold line breaks between its members, and beyond ASCII what
# some readers take for a break. Canonical bodies hold neither: these are of whoever wrote past the
# application. A place in a line is all they get.
_ONE_LINE = str.maketrans(
    {"\n": " ", "\r": " ", "\t": " "}
    | {chr(code): f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}
)


class Sealed(NamedTuple):
    """A sealed event and its place in the log."""

    leaf_index: int
    body: str
    event_id: UUID
    event_type: str
    outcome: str
    happened_at: datetime

    @property
    def line(self) -> str:
        """The body on one line: byte for byte what was sealed, if that is canonical."""
        return self.body.translate(_ONE_LINE)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Leaves `first` ≤ index < `until` of one log, and those events of them that were not cut."""

    log: str
    first: int
    until: int
    events: list[Sealed]

    @property
    def missing(self) -> int:
        """How many events were cut."""
        return self.until - self.first - len(self.events)


def sizes() -> dict[str, int]:
    """Give each log that was ever sealed, with how many leaves it has."""
    with connection.cursor() as cursor:
        cursor.execute(_LOGS)
        return dict(cursor.fetchall())


def stretch(*, log: str, first: int, events: int, largest_bytes: int) -> Stretch | None:
    """Give the leaves from `first` on, so many events and bytes at most; None: there are none."""
    with transaction.atomic(), connection.cursor() as cursor:
        # By the whole key, row by row: any other plan would read months for a stretch.
        cursor.execute("SET LOCAL enable_hashjoin = off")
        cursor.execute("SET LOCAL enable_mergejoin = off")
        cursor.execute(_LEAVES, [log, first, events])
        rows = cursor.fetchall()
    found: list[Sealed] = []
    until, size = first, 0
    for index, body, *rest in rows:
        if body is not None:
            size += len(body.encode())
            if size > largest_bytes and found:
                break
            found.append(Sealed(index, body, *rest))
        until = index + 1
    return Stretch(log, first, until, found) if rows else None
