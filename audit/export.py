"""Streams the log out, a stretch at a time: as JSON Lines, the evidence itself, or as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from itertools import chain

from django.db import connection
from django.db.models import F, Q, QuerySet, TextField
from django.db.models.expressions import Combinable, RawSQL

from audit.events import Actor, EventType, NewEvent, Target, log_name
from audit.models import Event
from audit.operations import accountable, append_many
from audit.queries import Filter, events

# A stretch is one query: no snapshot and no lock is held while a slow reader takes it, and memory
# stays at some megabytes however long the export.
ROWS_PER_STRETCH = 5_000


class Format(StrEnum):
    """How events are written out."""

    JSONL = "jsonl"
    CSV = "csv"


CONTENT_TYPES = {
    Format.JSONL: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8; header=present",
}

_HAPPENED_AT = "to_char(happened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
COLUMNS: dict[str, str] = {
    "happened_at": _HAPPENED_AT,
    "log": "log",
    "event_type": "event_type",
    "outcome": "outcome",
    "actor": "actor",
    "actor_role": "actor_role",
    "target_kind": "target_kind",
    "target": "target",
    "conversation": "conversation::text",
    "subject": "subject::text",
    "purpose": "purpose",
    "basis": "basis",
    "facts": "body::json ->> 'x'",
    "event_id": "event_id::text",
}
_HEADER = (",".join(f'"{name}"' for name in COLUMNS) + "\r\n").encode()


def begin(
    *, wanted: Filter, form: Format, actor: Actor, now: datetime, rows: int = ROWS_PER_STRETCH
) -> Iterator[bytes]:
    """
    Start an export: its events are committed, one in each log, before anything is returned.

    Returns the exported bytes, oldest event first, in pieces of some megabytes at most. What
    happens from `now` on is not part of it.

    Raises `audit.operations.AuditUnavailable`.
    """
    until_at = min(wanted.until_at, now) if wanted.until_at else now
    wanted = replace(wanted, until_at=until_at)
    with accountable():
        append_many(
            events=[
                NewEvent(
                    event_type=EventType.AUDIT_EXPORTED,
                    actor=actor,
                    now=now,
                    log=log,
                    target=Target("log", log_name(log)),
                    facts={
                        "format": form.value,
                        "filters": wanted.names,
                        "from": wanted.from_at,
                        "until": until_at,
                    },
                )
                for log in wanted.logs
            ]
        )
    return stream(wanted=wanted, form=form, rows=rows)


def stream(*, wanted: Filter, form: Format, rows: int = ROWS_PER_STRETCH) -> Iterator[bytes]:
    """
    The bytes of an export whose event is already committed; see `begin`.

    The first stretch is read at once, so that a failure is met before anything is answered.
    """
    stretches = _stretches(events(wanted), form, rows)
    first = next(stretches, b"")
    header = _HEADER if form is Format.CSV else b""
    return chain([header + first], stretches)


def count_lines(piece: bytes, form: Format) -> int:
    """How many lines are in a piece of an export; a CSV's header is one."""
    # Neither a body nor a cell can hold a line break: control characters are escaped in JSON.
    return piece.count(b"\r\n" if form is Format.CSV else b"\n")


def _stretches(found: QuerySet[Event], form: Format, rows: int) -> Iterator[bytes]:
    line: Combinable = F("body") if form is Format.JSONL else _csv_line()
    ending = "\n" if form is Format.JSONL else "\r\n"
    ordered = found.order_by("happened_at", "id")
    after = Q()
    while True:
        stretch = (
            ordered.filter(after)
            .annotate(line=line)
            .values_list("happened_at", "id", "line")[:rows]
        )
        sql, parameters = stretch.query.sql_with_params()
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            fetched: Sequence[tuple[datetime, int, str]] = cursor.fetchall()
        if fetched:
            yield (ending.join(row[2] for row in fetched) + ending).encode()
        if len(fetched) < rows:
            return
        last_at, last_id, _line = fetched[-1]
        after = Q(happened_at__gte=last_at) & (Q(happened_at__gt=last_at) | Q(id__gt=last_id))


def _csv_line() -> Combinable:
    cells = ", ',', ".join(_cell(expression) for expression in COLUMNS.values())
    return RawSQL(f"concat({cells})", [], output_field=TextField())  # noqa: S611 (no input)


def _cell(expression: str) -> str:
    # A spreadsheet takes a cell that begins with one of these for a formula (OWASP, CSV Injection).
    return (
        f"'\"', CASE WHEN left({expression}, 1) IN "
        "('=', '+', '-', '@', chr(9), chr(10), chr(13)) THEN '''' END, "
        f"replace({expression}, '\"', '\"\"'), '\"'"
    )

