"""Which leaves of a log's tree an export shows."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
_GATHERED = f"""
SELECT array_agg(leaf_index ORDER BY leaf_index),
    string_agg(body || chr(10), '' ORDER BY leaf_index),
    string_agg(hash, ''::bytea ORDER BY leaf_index), min(event), max(event)
FROM (
    SELECT l.leaf_index, l.event, l.hash, e.body {JOINED}
    WHERE l.log = %s AND l.leaf_index = ANY (%s)) AS stretch
"""  # noqa: S608 (parts that stand here)
_LEAVES = """
SELECT count(*), string_agg(hash, ''::bytea ORDER BY leaf_index), min(event), max(event)
FROM (
    SELECT leaf_index, event, hash FROM audit_leaf
    WHERE log = %s AND leaf_index >= %s AND leaf_index < %s) AS stretch
"""
# Of leaves side by side, events lie side by side as well, nearly: read in one go by their ids.
_NEIGHBOURS = f"""{JOINED}
    WHERE l.log = %s AND l.leaf_index >= %s AND l.leaf_index < %s
    AND e.log = %s AND e.id >= %s AND e.id <= %s ORDER BY l.leaf_index
"""
# One body a line, as it stands: a canonical body has no control character, so nothing is quoted.
_AS_LINES = r"(FORMAT csv, DELIMITER E'\x02', QUOTE E'\x01')"


@dataclass(frozen=True, slots=True)
class Shown:
    """Events in the order of their leaves."""

    indexes: Sequence[int]
    bodies: bytes  # each with a line break
    hashes: bytes  # 32 bytes each
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
    inside: int | None = None  # how many events fit the time asked for; None: all there are

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
        if self.chosen is not None:
            return self._gathered(list(self.chosen[at : at + count]))
        first = self.first + at
        last = min(first + count, self.last)
        return self._side_by_side(first, last) or self._gathered(list(range(first, last)))

    def _side_by_side(self, first: int, last: int) -> Shown | None:
        """Give all from one to the other; None where one of them has been cut."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL work_mem = '64MB'")
            cursor.execute(_LEAVES, [self.log, first, last])
            leaves, hashes, *rows = cursor.fetchone()
            with cursor.copy(
                f"COPY (SELECT e.body {_NEIGHBOURS}) TO STDOUT {_AS_LINES}",
                [self.log, first, last, self.log, *rows],
            ) as lines:
                bodies = list(map(bytes, lines))
        if not len(bodies) == leaves == last - first:
            return None
        return Shown(range(first, last), b"".join(bodies), bytes(hashes), tuple(rows))

    def _gathered(self, leaves: list[int]) -> Shown:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL work_mem = '64MB'")
            cursor.execute("SET LOCAL enable_hashjoin = off")
            cursor.execute("SET LOCAL enable_mergejoin = off")
            cursor.execute(_GATHERED, [self.log, leaves])
            indexes, bodies, hashes, *rows = cursor.fetchone()
        if indexes is None:
            return Shown([], b"", b"")
        return Shown(indexes, bodies.encode(), bytes(hashes), tuple(rows))


def select(*, wanted: Filter, size: int) -> Selection:
    """Find the leaves of one log that fit the filter, of its tree of that size."""
    (log,) = map(log_name, wanted.logs)
    found = events(wanted)
    everything = Selection(log, size, 0, size)
    if not set(wanted.names) <= {"from", "until"}:
        return replace(everything, last=0, chosen=_chosen(found, log, size))
    if wanted.from_at is None and wanted.until_at is None:
        return everything
    with connection.cursor() as cursor:
        sql, parameters = found.values_list("id").query.sql_with_params()
        cursor.execute(
            "SELECT count(*), min(l.leaf_index), max(l.leaf_index) FROM audit_leaf l "  # noqa: S608
            f"WHERE l.log = %s AND l.leaf_index < %s AND l.event IN ({sql})",
            [log, size, *parameters],
        )
        inside, first, last = cursor.fetchone()
    if first is None:
        return replace(everything, last=0)
    return replace(everything, first=max(first - 1, 0), last=min(last + 2, size), inside=inside)


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
