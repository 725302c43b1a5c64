"""Streams the log out, a stretch at a time: as JSON Lines, the evidence itself, or as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from itertools import chain
from typing import cast

from django.db import connection, transaction
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

def _harmless(column: str) -> Combinable:
    # A spreadsheet takes a cell that begins with one of these for a formula (OWASP, CSV Injection).
    return RawSQL(
        f"CASE WHEN left({column}, 1) IN ('=', '+', '-', '@', chr(9), chr(10), chr(13)) "
        f"THEN chr(39) || {column} ELSE {column} END",
        [],
        output_field=TextField(),
    )


_INSTANT = "to_char(happened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
# The CSV's columns with what they hold; stored columns, because taking a body apart is dear.
COLUMNS: dict[str, Combinable] = {
    "happened_at": RawSQL(_INSTANT, [], output_field=TextField()),
    "log": F("log"),
    "event_type": _harmless("event_type"),
    "outcome": _harmless("outcome"),
    "actor": _harmless("actor"),
    "actor_role": _harmless("actor_role"),
    "target_kind": _harmless("target_kind"),
    "target": _harmless("target"),
    "conversation": F("conversation"),
    "subject": F("subject"),
    "purpose": _harmless("purpose"),
    "basis": _harmless("basis"),
    "facts": RawSQL("body::json ->> 'x'", [], output_field=TextField()),
    "event_id": F("event_id"),
}
_HEADER = (",".join(f'"{name}"' for name in COLUMNS) + "\n").encode()
_COPY_OPTIONS = {
    # With a quote and a delimiter that occur nowhere, COPY writes each body as it is.
    Format.JSONL: "FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02'",
    Format.CSV: "FORMAT csv, FORCE_QUOTE *",
}


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


def _stretches(found: QuerySet[Event], form: Format, rows: int) -> Iterator[bytes]:
    ordered = found.order_by("happened_at", "id")
    after = Q()
    while True:
        rest = ordered.filter(after)
        last = rest.values_list("happened_at", "id")[rows - 1 : rows].first()
        yield _copied(rest if last is None else rest.filter(_not_after(*last)), form)
        if last is None:
            return
        after = _after(*last)


def _copied(stretch: QuerySet[Event], form: Format) -> bytes:
    if form is Format.JSONL:
        columns = stretch.values_list("body")
    else:
        cells = {f"cell_{name}": cell for name, cell in COLUMNS.items()}
        columns = stretch.annotate(**cells).values_list(*cells)
    sql, parameters = columns.query.sql_with_params()
    with transaction.atomic(), connection.cursor() as cursor:
        # The index by time has the order already; sorting whole bodies would cost thrice as much.
        cursor.execute("SET LOCAL enable_sort = off")
        with cursor.copy(f"COPY ({sql}) TO STDOUT ({_COPY_OPTIONS[form]})", parameters) as pieces:
            return b"".join(pieces)


# The first half of each is what the index by time can be asked.
def _after(at: datetime, row_id: int) -> Q:
    return Q(happened_at__gte=at) & (Q(happened_at__gt=at) | Q(id__gt=row_id))


def _not_after(at: datetime, row_id: int) -> Q:
    return Q(happened_at__lte=at) & (Q(happened_at__lt=at) | Q(id__lte=row_id))
