"""Streams the log out, a stretch at a time: as JSON Lines, the evidence itself, or as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from itertools import chain

from django.db import connection, transaction
from django.db.models import F, Func, Q, QuerySet, TextField
from django.db.models.expressions import Combinable

from audit.events import Actor, EventType, FactValue, NewEvent, Target, log_name
from audit.models import Event
from audit.operations import accountable, append_many
from audit.queries import Filter, events

# A stretch is one query: no snapshot and no lock is held while a slow reader takes it, and memory
# stays at some megabytes however long the export.
ROWS_PER_STRETCH = 20_000


class Format(StrEnum):
    """How events are written out."""

    JSONL = "jsonl"
    CSV = "csv"


CONTENT_TYPES = {
    Format.JSONL: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8; header=present",
}


def _text(template: str, column: str) -> Func:
    return Func(F(column), template=template, output_field=TextField())


def _harmless(column: str) -> Func:
    # A spreadsheet takes a cell that begins with one of these for a formula (OWASP, CSV Injection).
    return _text(
        "CASE WHEN left(%(expressions)s, 1) IN ('=', '+', '-', '@', chr(9), chr(10), chr(13)) "
        "THEN chr(39) || %(expressions)s ELSE %(expressions)s END",
        column,
    )


# The CSV's columns with what they hold; stored columns, because taking a body apart is dear.
COLUMNS: dict[str, Combinable] = {
    "happened_at": _text(
        "to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
        "happened_at",
    ),
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
    "facts": _text("%(expressions)s::json ->> 'x'", "body"),
    "event_id": F("event_id"),
}
_HEADER = (",".join(f'"{name}"' for name in COLUMNS) + "\n").encode()
_COPY_OPTIONS = {
    # With a quote and a delimiter that occur nowhere, COPY writes each body as it is.
    Format.JSONL: "FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02'",
    Format.CSV: "FORMAT csv, FORCE_QUOTE *",
}


def begin(*, wanted: Filter, form: Format, actor: Actor, now: datetime) -> Iterator[bytes]:
    """
    Start an export: it is logged before anything is returned.

    Returns the exported bytes, oldest event first, in pieces of some megabytes at most. What
    happens from `now` on is not part of it.

    Raises `audit.operations.AuditUnavailable`.
    """
    logged = log_export(wanted=wanted, form=form, actor=actor, now=now)
    return stream(wanted=logged, form=form)


def log_export(*, wanted: Filter, form: Format, actor: Actor, now: datetime) -> Filter:
    """
    Commit the events of an export, one in each of its logs, and return what may now be streamed.

    That is what was wanted, up to `now` at most.

    Raises `audit.operations.AuditUnavailable`.
    """
    until_at = min(wanted.until_at, now) if wanted.until_at else now
    facts: dict[str, FactValue] = {
        "format": form.value,
        "filters": wanted.names,
        "from": wanted.from_at,
        "until": until_at,
    }
    with accountable():
        append_many(
            events=[
                NewEvent(
                    event_type=EventType.AUDIT_EXPORTED,
                    actor=actor,
                    now=now,
                    log=log,
                    target=Target("log", log_name(log)),
                    facts=facts,
                )
                for log in wanted.logs
            ]
        )
    return replace(wanted, until_at=until_at)


def stream(*, wanted: Filter, form: Format, rows: int = ROWS_PER_STRETCH) -> Iterator[bytes]:
    """
    The bytes of an export that has been logged; see `log_export`.

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
