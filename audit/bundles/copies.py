"""Copies of the events for reading: CSV, Parquet, OCSF; the evidence is beside them."""

from __future__ import annotations

from enum import StrEnum

import orjson
from django.db import connection, transaction

from audit.bundles.ocsf import ocsf
from audit.bundles.selection import JOINED, Shown


class Format(StrEnum):
    """What an export has beside its evidence; JSONL is the evidence alone."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    OCSF = "ocsf"


SUFFIXES = {Format.CSV: "csv", Format.PARQUET: "parquet", Format.OCSF: "ocsf.jsonl"}


def _harmless(column: str) -> str:
    # A spreadsheet takes a cell that begins with one of these for a formula (OWASP, CSV Injection).
    return (
        f"CASE WHEN left({column}, 1) IN ('=', '+', '-', '@', chr(9), chr(10), chr(13)) "
        f"THEN chr(39) || {column} ELSE {column} END"
    )


# The columns with what they hold; stored columns, because taking a body apart is dear.
COLUMNS = {
    "happened_at": (
        "to_char(e.happened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
    ),
    "log": "e.log",
    "leaf_index": "l.leaf_index",
    "event_type": _harmless("e.event_type"),
    "outcome": _harmless("e.outcome"),
    "actor": _harmless("e.actor"),
    "actor_role": _harmless("e.actor_role"),
    "target_kind": _harmless("e.target_kind"),
    "target": _harmless("e.target"),
    "conversation": "e.conversation",
    "subject": "e.subject",
    "purpose": _harmless("e.purpose"),
    "basis": _harmless("e.basis"),
    "facts": "e.body::json ->> 'x'",
    "event_id": "e.event_id",
}
_CELLS = ", ".join(f'{cell} AS "{name}"' for name, cell in COLUMNS.items())


def written(form: Format, *, log: str, shown: Shown) -> bytes:
    """Give events of a log in a format, in the order of their leaves; JSONL needs no copy."""
    if form is Format.OCSF:
        return b"".join(
            orjson.dumps(ocsf(orjson.loads(body), log=log), option=orjson.OPT_APPEND_NEWLINE)
            for body in shown.bodies.split("\n")[:-1]
        )
    cells = _csv(log, shown)
    if form is Format.CSV:
        return cells
    # Loading it takes a quarter of a second and 60 MB, which nobody else needs.
    from audit.bundles.parquet import parquet

    return parquet(cells)


def _csv(log: str, shown: Shown) -> bytes:
    if shown.is_side_by_side:
        first, last = (shown.indexes[0], shown.indexes[-1]) if shown.indexes else (0, -1)
        leaves = "l.leaf_index >= %s AND l.leaf_index <= %s"
        places: list[int | list[int]] = [first, last]
    else:
        leaves, places = "l.leaf_index = ANY (%s)", [shown.indexes]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '64MB'")
        if not shown.is_side_by_side:
            cursor.execute("SET LOCAL enable_hashjoin = off")
            cursor.execute("SET LOCAL enable_mergejoin = off")
        with cursor.copy(
            f"COPY (SELECT {_CELLS} {JOINED} WHERE l.log = %s AND {leaves} "
            "AND e.log = %s AND e.id >= %s AND e.id <= %s ORDER BY l.leaf_index) "
            "TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *)",
            [log, *places, log, *(shown.rows or (0, -1))],
        ) as pieces:
            return b"".join(bytes(piece) for piece in pieces)
