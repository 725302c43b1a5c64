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


# The end of a canonical body, from its instant on, as bytes found by bytes: by far the quickest. In
# a string the quotation marks would be escaped, and no object before it has such a member.
_BYTES = "convert_to(e.body, 'UTF8')"
_KEY = '"ts":"'
_INSTANT_BYTES = len("2026-01-01T00:00:00.000000Z")
_AFTER_INSTANT = len(_KEY) + _INSTANT_BYTES + 1
_BEFORE_FACTS = '","v":1,"x":'
_FACTS = _AFTER_INSTANT + len(_BEFORE_FACTS)
_ENDING = f"substr({_BYTES}, nullif(position('{_KEY}'::bytea IN {_BYTES}), 0))"

# The columns with what they hold; stored ones where there are, since taking a body apart is dear.
COLUMNS = {
    "happened_at": (
        f"coalesce(convert_from(substr(e.ending, {len(_KEY) + 1}, {_INSTANT_BYTES}), 'UTF8'), "
        "to_char(e.happened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))"
    ),
    "log": "e.log",
    "leaf_index": "e.leaf_index",
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
    "facts": (
        f"CASE WHEN substr(e.ending, {_AFTER_INSTANT}, {len(_BEFORE_FACTS)}) = "
        f"'{_BEFORE_FACTS}'::bytea THEN convert_from("
        f"substr(e.ending, {_FACTS}, octet_length(e.ending) - {_FACTS}), 'UTF8') "
        "ELSE e.body::json ->> 'x' END"
    ),
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
            # In the order of leaves already inside: so what is taken there is taken once.
            f"COPY (SELECT {_CELLS} FROM (SELECT l.leaf_index, e.*, {_ENDING} AS ending {JOINED} "  # noqa: S608
            f"WHERE l.log = %s AND {leaves} AND e.log = %s AND e.id >= %s AND e.id <= %s "
            "ORDER BY l.leaf_index) AS e) TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *)",
            [log, *places, log, *(shown.rows or (0, -1))],
        ) as pieces:
            return b"".join(bytes(piece) for piece in pieces)
