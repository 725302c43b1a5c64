"""Reads business events from files: CSV with a header, or one JSON object a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from recordings.formats.checks import parse_json, parse_time
from recordings.formats.incoming import CannotCapture
from retention.operations.business_events import EventRefused, NewBusinessEvent, check_event

FIELDS = ("event", "reference", "at")
MAX_FILE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that holds no event, from 1, and why; the line is never quoted."""

    line: int
    reason: str


class UnreadableFile(Exception):
    """The file as a whole cannot be read as events."""


def read_events(path: Path, *, now: datetime) -> tuple[list[NewBusinessEvent], list[BadLine]]:
    """
    Read all events of a file, and all lines that hold none; empty lines are skipped.

    A name that ends in `.csv` means CSV, with the columns event, reference and at; any other one
    JSON object a line, with the same fields.

    Raises UnreadableFile.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise UnreadableFile(f"The file cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UnreadableFile("The file is not in UTF-8.") from error
    if len(raw) > MAX_FILE_BYTES:
        raise UnreadableFile(f"The file is larger than {MAX_FILE_BYTES} bytes.")
    rows = _csv(text) if path.suffix.lower() == ".csv" else _json_lines(text)
    events: list[NewBusinessEvent] = []
    bad: list[BadLine] = []
    for line, row in rows:
        try:
            events.append(_event(row, now))
        except (CannotCapture, EventRefused) as refused:
            bad.append(BadLine(line, str(refused)))
    return events, bad


def _csv(text: str) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if set(reader.fieldnames or ()) != set(FIELDS):
            raise UnreadableFile(f"The columns of the first line must be {', '.join(FIELDS)}.")
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise UnreadableFile(f"Line {reader.line_num + 1} is no CSV.") from error


def _json_lines(text: str) -> Iterator[tuple[int, Any]]:
    for line, written in enumerate(text.split("\n"), start=1):
        if written.strip():
            yield line, written


def _event(row: Any, now: datetime) -> NewBusinessEvent:
    found = parse_json(row.encode(), what="The line") if isinstance(row, str) else row
    if not isinstance(found, Mapping) or set(found) != set(FIELDS):
        raise EventRefused(f"The line does not have the fields {', '.join(FIELDS)}.")
    if not all(isinstance(found[name], str) for name in FIELDS):
        raise EventRefused("A field of the line is no text.")
    happened_at, _zone = parse_time(found["at"], field="at")
    event = NewBusinessEvent(found["event"], found["reference"], happened_at)
    check_event(event, now=now)
    return event
