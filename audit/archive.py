"""Exports into a folder: one folder per log, one file per month, room for what proves them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from audit import export, queries
from audit.events import Actor, log_name
from audit.export import Format
from audit.queries import Filter


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file that was written, with the number of its events and its SHA-256 in hexadecimal."""

    path: Path
    events: int
    sha256: str

    def as_json(self) -> dict[str, object]:
        """The file as a member of the command's answer."""
        return {"path": str(self.path), "events": self.events, "sha256": self.sha256}


def export_to_folder(
    *,
    folder: Path,
    wanted: Filter,
    form: Format,
    actor: Actor,
    now: datetime,
    on_progress: Callable[[int], object] = lambda events: None,
) -> list[ExportedFile]:
    """
    Export events to `folder/<log>/events-<year>-<month>.<format>`, months in UTC.

    A month without events gets no file. A file bears its name only when it is whole. The export's
    event is committed before the folder is touched; `on_progress` is told of events written.

    Raises `audit.operations.AuditUnavailable`, OSError.
    """
    logged = export.log_export(wanted=wanted, form=form, actor=actor, now=now)
    written = []
    for log in logged.logs:
        for month in _months(replace(logged, logs=[log])):
            target = folder / log_name(log) / f"events-{month.from_at:%Y-%m}.{form.value}"
            file = _write(target, month, form, on_progress)
            if file is not None:
                written.append(file)
    return written


def _months(wanted: Filter) -> Iterator[Filter]:
    first = queries.first_instant(wanted)
    if first is None or wanted.until_at is None:
        return
    start = first.astimezone(UTC)
    while start < wanted.until_at:
        following = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        following = following.replace(
            year=following.year + following.month // 12, month=following.month % 12 + 1
        )
        yield replace(wanted, from_at=start, until_at=min(following, wanted.until_at))
        start = following


def _write(
    target: Path, wanted: Filter, form: Format, on_progress: Callable[[int], object]
) -> ExportedFile | None:
    header_lines = 1 if form is Format.CSV else 0
    part = target.with_name(target.name + ".part")
    digest, lines = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with part.open("wb") as file:
        for piece in export.stream(wanted=wanted, form=form):
            file.write(piece)
            digest.update(piece)
            # Neither a body nor a cell holds a line break: JSON escapes it, codes have none.
            lines += piece.count(b"\n")
            on_progress(piece.count(b"\n"))
    if lines == header_lines:
        part.unlink()
        return None
    part.replace(target)
    return ExportedFile(target, lines - header_lines, digest.hexdigest())
