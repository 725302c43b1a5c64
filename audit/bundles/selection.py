"""Which leaves of a log's tree an export shows."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import connection, transaction
from django.db.models import QuerySet

from audit.events import log_name
from audit.models import Event
from audit.queries import Filter, events

_ROWS_AT_ONCE = 10_000
JOINED = (
    "FROM audit_leaf l JOIN audit_event e ON e.id = l.event AND e.log = l.log "
    "AND e.about_conversation = l.about_conversation AND e.month = l.month "
)


# One row for a whole stretch: taking thousands of rows apart costs more than finding them.
_GATHERED = """
SELECT array_agg(leaf_index ORDER BY leaf_index),
    string_agg(body || chr(10), '' ORDER BY leaf_index),
    string_agg(hash, ''::bytea ORDER BY leaf_index),
    count(*) FILTER (WHERE NOT is_inside), min(event), max(event)
FROM (
    SELECT l.leaf_index, l.event, l.hash, e.body,
        e.happened_at >= coalesce(%s::timestamptz, '-infinity')
            AND e.happened_at < coalesce(%s::timestamptz, 'infinity') AS is_inside
"""
# OFFSET 0: else both are sought along the index of events, from its beginning and its end.
_FIRST_AND_LAST = """
SELECT min(event), max(event) FROM (
    SELECT event FROM audit_leaf
    WHERE log = %s AND leaf_index >= %s AND leaf_index < %s OFFSET 0) AS stretch
"""
# Of leaves side by side, events lie side by side as well, nearly: read in one go by their ids.
_NEIGHBOURS = """
    l.log = %s AND l.leaf_index >= %s AND l.leaf_index < %s
    AND e.log = %s AND e.id >= %s AND e.id <= %s) AS stretch
"""
_CHOSEN = "l.log = %s AND l.leaf_index = ANY (%s)) AS stretch"


@dataclass(frozen=True, slots=True)
class Shown:
    """Events in the order of their leaves."""

    indexes: list[int]
    bodies: str  # each with a line break
    hashes: bytes  # 32 bytes each
    outside: int  # of them, events that do not fit the time asked for
    rows: tuple[int, int] | None = None  # the ids of the first row and the last, by id

    @property
    def is_side_by_side(self) -> bool:
        """Whether no leaf is left out between the first and the last."""
        return not self.indexes or self.indexes[-1] - self.indexes[0] + 1 == len(self.indexes)


@dataclass(frozen=True, slots=True)
class Selection:
    """
    The leaves that fit a filter, of the first `size` of a log.

    Asked for by time alone it is everything from the first event of that time to the last, and the
    event beside each of them: nothing in between can be missing. Otherwise it is chosen leaves.
    """

    log: str
    size: int
    first: int = 0
    last: int = 0  # exclusive
    chosen: array[int] | None = None  # None: all from first to last
    from_at: datetime | None = None
    until_at: datetime | None = None

    @property
    def is_all(self) -> bool:
        """Whether it has all leaves from the first to the last."""
        return self.chosen is None

    @property
    def count(self) -> int:
        """How many leaves there are."""
        return self.last - self.first if self.chosen is None else len(self.chosen)

    def stretch(self, at: int, count: int) -> Shown:
        """Give the events from the `at`-th of the selection on, `count` leaves of it."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL work_mem = '64MB'")
            if self.chosen is None:
                first = self.first + at
                last = min(first + count, self.last)
                cursor.execute(_FIRST_AND_LAST, [self.log, first, last])
                ids = cursor.fetchone()
                cursor.execute(
                    f"{_GATHERED} {JOINED} WHERE {_NEIGHBOURS}",
                    [self.from_at, self.until_at, self.log, first, last, self.log, *ids],
                )
            else:
                cursor.execute("SET LOCAL enable_hashjoin = off")
                cursor.execute("SET LOCAL enable_mergejoin = off")
                cursor.execute(
                    f"{_GATHERED} {JOINED} WHERE {_CHOSEN}",
                    [
                        self.from_at,
                        self.until_at,
                        self.log,
                        list(self.chosen[at : at + count]),
                    ],
                )
            indexes, bodies, hashes, outside, *rows = cursor.fetchone()
        if indexes is None:
            return Shown([], "", b"", 0)
        return Shown(indexes, bodies, bytes(hashes), outside, tuple(rows))


def select(*, wanted: Filter, size: int) -> Selection:
    """Find the leaves of one log that fit the filter, of its tree of that size."""
    (log,) = map(log_name, wanted.logs)
    found = events(wanted)
    everything = Selection(log, size, 0, size, None, wanted.from_at, wanted.until_at)
    if not set(wanted.names) <= {"from", "until"}:
        return replace(everything, last=0, chosen=_chosen(found, log, size))
    if wanted.from_at is None and wanted.until_at is None:
        return everything
    with connection.cursor() as cursor:
        sql, parameters = found.values_list("id").query.sql_with_params()
        cursor.execute(
            "SELECT min(l.leaf_index), max(l.leaf_index) FROM audit_leaf l "  # noqa: S608
            f"WHERE l.log = %s AND l.leaf_index < %s AND l.event IN ({sql})",
            [log, size, *parameters],
        )
        first, last = cursor.fetchone()
    if first is None:
        return replace(everything, last=0)
    return replace(everything, first=max(first - 1, 0), last=min(last + 2, size))


def _chosen(found: QuerySet[Event], log: str, size: int) -> array[int]:
    indexes = array("q")
    sql, parameters = found.values_list("id").query.sql_with_params()
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(
            "SELECT l.leaf_index FROM audit_leaf l "  # noqa: S608 (Django's own SQL)
            f"WHERE l.log = %s AND l.leaf_index < %s AND l.event IN ({sql}) ORDER BY 1",
            [log, size, *parameters],
        )
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            indexes.extend(index for (index,) in rows)
    return indexes
