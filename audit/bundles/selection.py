"""Which leaves of a log's tree an export shows."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import QuerySet

from audit.bundles.copies import JOINED
from audit.events import log_name
from audit.models import Event
from audit.queries import Filter, events

_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Shown:
    """Events side by side in the order of their leaves."""

    indexes: list[int]
    bodies: list[str]
    hashes: list[bytes]


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
        if self.chosen is None:
            begin = self.first + at
            return self._read(
                "l.leaf_index >= %s AND l.leaf_index < %s", begin, min(begin + count, self.last)
            )
        return self._read("l.leaf_index = ANY (%s)", list(self.chosen[at : at + count]))

    def _read(self, condition: str, *parameters: int | list[int]) -> Shown:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_hashjoin = off")
            cursor.execute("SET LOCAL enable_mergejoin = off")
            cursor.execute(
                f"SELECT l.leaf_index, e.body, l.hash {JOINED} "
                f"WHERE l.log = %s AND {condition} ORDER BY l.leaf_index",
                [self.log, *parameters],
            )
            rows = cursor.fetchall()
        return Shown(
            [index for index, _body, _hash in rows],
            [body for _index, body, _hash in rows],
            [bytes(value) for _index, _body, value in rows],
        )


def select(*, wanted: Filter, size: int) -> Selection:
    """Find the leaves of one log that fit the filter, of its tree of that size."""
    (log,) = map(log_name, wanted.logs)
    found = events(wanted)
    if not set(wanted.names) <= {"from", "until"}:
        return Selection(log, size, chosen=_chosen(found, log, size))
    if wanted.from_at is None and wanted.until_at is None:
        return Selection(log, size, 0, size)
    with connection.cursor() as cursor:
        sql, parameters = found.values_list("id").query.sql_with_params()
        cursor.execute(
            "SELECT min(l.leaf_index), max(l.leaf_index) FROM audit_leaf l "  # noqa: S608
            f"WHERE l.log = %s AND l.leaf_index < %s AND l.event IN ({sql})",
            [log, size, *parameters],
        )
        first, last = cursor.fetchone()
    if first is None:
        return Selection(log, size)
    return Selection(log, size, max(first - 1, 0), min(last + 2, size))


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
