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


_FORMULA = ", ".join(str(ord(each)) for each in "=+-@\t\n\r")


def _harmless(column: str) -> str:
    # A spreadsheet takes a cell that begins with one of these for a formula (OWASP, CSV Injection).
    return f"CASE WHEN ascii({column}) IN ({_FORMULA}) THEN chr(39) || {column} ELSE {column} END"


_BYTES = "convert_to(e.body, 'UTF8')"
_INSTANT_BYTES = len("2026-01-01T00:00:00.000000Z")


def _member(key: str, count: str, otherwise: str) -> str:
    """
    Give what follows a key in a canonical body, as bytes found by bytes: by far the quickest.

    `{at}` in the count is where the key stands. In a string its quotation marks would be escaped.
    """
    at = f"nullif(position('{key}'::bytea IN {_BYTES}), 0)"
    taken = f"substr({_BYTES}, {at} + {len(key)}, {count.format(at=at)})"
    return f"coalesce(convert_from({taken}, 'UTF8'), {otherwise})"


# The columns with what they hold; stored ones where there are, since taking a body apart is dear.
COLUMNS = {
    "happened_at": _member(
        '"ts":"',
        str(_INSTANT_BYTES),
        "to_char(e.happened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
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
    # The last of a body, before the brace that closes it.
    "facts": _member(',"x":', "octet_length(e.body) - {at} - 5", "e.body::json ->> 'x'"),
    "event_id": "e.event_id",
}
_CELLS = ", ".join(f'{cell} AS "{name}"' for name, cell in COLUMNS.items())


def read_columns(form: Format, *, log: str, shown: Shown) -> bytes:
    """Read the stored columns of these events, as CSV, where the format is made of them."""
    return _csv(log, shown) if form in (Format.CSV, Format.PARQUET) else b""


def written(form: Format, *, log: str, shown: Shown, columns: bytes) -> bytes:
    """Give events of a log in a format, in the order of their leaves; JSONL needs no copy."""
    if form is Format.OCSF:
        return b"".join(
            orjson.dumps(ocsf(orjson.loads(body), log=log), option=orjson.OPT_APPEND_NEWLINE)
            for body in shown.bodies.splitlines()
        )
    if form is Format.CSV:
        return columns
    # Loading it takes a quarter of a second and 60 MB, which nobody else needs.
    from audit.bundles.parquet import parquet

    return parquet(columns)


def _csv(log: str, shown: Shown) -> bytes:
    if shown.is_side_by_side:
        first, last = (shown.indexes[0], shown.indexes[-1]) if shown.indexes else (0, -1)
        leaves = "l.leaf_index >= %s AND l.leaf_index <= %s"
        places: list[int | list[int]] = [first, last]
    else:
        leaves, places = "l.leaf_index = ANY (%s)", [list(shown.indexes)]
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
