"""The Merkle trees of the logs, read from their tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import connection

from audit import verify
from audit.merkle import LEVEL_STEP, Tree
from audit.models import Checkpoint, Cosignature, Leaf, Origin

# Hashes are read by whole rows of siblings, and these are kept while one proof is made.
_SIBLINGS = 1 << LEVEL_STEP
_KEPT_ROWS = 64
# Among so many of the newest a witness has to be to be shown.
_LATE_COSIGNATURES = 100


class TreeIncomplete(Exception):
    """Hashes that the log's tree must have are not in the database: it was altered."""


@dataclass(slots=True)
class StoredNodes:
    """The kept hashes of one log's tree as they are now; see `audit.merkle.Nodes`."""

    log: str
    _rows: dict[tuple[int, int], list[bytes]] = field(default_factory=dict)

    def hashes(self, level: int, first: int, count: int) -> Sequence[bytes]:
        """Give hashes that stand side by side. Raises TreeIncomplete."""
        number, offset = divmod(first, _SIBLINGS)
        row = self._row(level, number)
        found = row[offset : offset + count]
        if len(found) < count:
            raise TreeIncomplete(f"The tree of log {self.log} lacks hashes at level {level}.")
        return found

    def _row(self, level: int, number: int) -> list[bytes]:
        known = self._rows.get((level, number))
        if known is not None:
            return known
        if len(self._rows) >= _KEPT_ROWS:
            self._rows.clear()
        first = number * _SIBLINGS
        table, place = ("audit_leaf", "leaf_index") if level == 0 else ("audit_node", "node_index")
        of_level = "" if level == 0 else "AND level = %s"
        parameters: list[str | int] = [self.log, first, first + _SIBLINGS]
        if level:
            parameters.append(level)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {place}, hash FROM {table} WHERE log = %s "  # noqa: S608 (constants)
                f"AND {place} >= %s AND {place} < %s {of_level} ORDER BY {place}",
                parameters,
            )
            rows = cursor.fetchall()
        if [place for place, _ in rows] != list(range(first, first + len(rows))):
            raise TreeIncomplete(f"The tree of log {self.log} has a gap at level {level}.")
        hashes = self._rows[level, number] = [bytes(value) for _, value in rows]
        return hashes


def tree(*, log: str, size: int) -> Tree:
    """Give the tree of a log's first `size` leaves."""
    return Tree(StoredNodes(log), size)


def newest_checkpoint(*, log: str) -> Checkpoint | None:
    """Find the newest checkpoint of a log."""
    return Checkpoint.objects.filter(log=log).order_by("-size").first()


def leaf_of(*, event: int) -> Leaf | None:
    """Find the leaf of an event by the id of its row; None while it is not sealed."""
    return Leaf.objects.filter(event=event).first()


def current_origin(*, log: str) -> Origin | None:
    """Find the origin under which a log's heads are signed now; None before the first."""
    return Origin.objects.filter(log=log).order_by("-number").first()


def lost_head(origin: Origin) -> verify.Checkpoint | None:
    """Give the head that a later origin says was lost; None if it names none that can be read."""
    try:
        return verify.parse_checkpoint(origin.continues or "")
    except verify.Tampered:
        return None


def witnessed_size(*, head: Checkpoint, witness: str) -> int:
    """Find the largest head of a head's origin, up to it, that a witness has cosigned; or 0."""
    origin = Origin.objects.get(origin=head.origin)
    found = Cosignature.objects.filter(
        log=head.log, witness=witness, size__gt=origin.from_size, size__lte=head.size
    )
    return found.order_by("-size").values_list("size", flat=True).first() or 0


def cosigned_note(head: Checkpoint) -> str:
    """Give a head's note with what witnesses have added to it."""
    found = Cosignature.objects.filter(log=head.log, size=head.size).order_by("witness")
    return head.note + "".join(found.values_list("lines", flat=True))


def witnessed_heads(*, head: Checkpoint) -> list[Checkpoint]:
    """Give the heads below one, of its origin, that witnesses of late have cosigned last."""
    of_late = Cosignature.objects.filter(log=head.log, size__lte=head.size).order_by("-size")
    witnesses = set(of_late.values_list("witness", flat=True)[:_LATE_COSIGNATURES])
    sizes = {witnessed_size(head=head, witness=witness) for witness in witnesses}
    found = Checkpoint.objects.filter(log=head.log, size__in=sizes - {head.size})
    return list(found.order_by("size"))
