"""Takes in whatever lies at a path: manifests, vCons, folders of them; nothing is dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from accounts.models import Source
from recordings.formats.incoming import CannotCapture, IncomingConversation, Read, Refused
from recordings.formats.manifest import read_manifest
from recordings.formats.sniffing import Format, sniff
from recordings.formats.vcon import read_vcon
from recordings.keyring import Keyring
from recordings.models import QuarantinedItem
from recordings.objectstore import ObjectStore
from recordings.operations.capture import Captured, DestroyedBefore, capture
from recordings.operations.hashing import CHUNK_BYTES, chunks_of
from recordings.operations.quarantine import quarantine

Chunks = Callable[[], Iterator[bytes]]
LINK = "This is a link; what it points at is not captured."
UNREADABLE = "The file cannot be read."
UNNAMED = "No manifest among what was given names this file, so it belongs to no conversation."


@dataclass(frozen=True, slots=True)
class Tools:
    """What capturing needs besides the delivery itself."""

    source: Source
    store: ObjectStore
    keyring: Keyring
    clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    One conversation, or one file, that was dealt with.

    `reason` says why it was not captured; what could be read waits in quarantine then, as `item`,
    except what was destroyed before (`is_refused`), of which nothing is stored. `left_out` names
    what a captured file holds besides.
    """

    name: str
    captured: Captured | None
    reason: str | None
    left_out: tuple[str, ...] = ()
    item: UUID | None = None
    is_refused: bool = False


def files_at(paths: Iterable[Path]) -> list[Path]:
    """List the files at the paths, folders with all that is in them, in a stable order."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob("*"))
            found.update(dict.fromkeys(file for file in inside if _is_ours(file, path)))
        else:
            found[path] = None
    return list(found)


def _is_ours(file: Path, folder: Path) -> bool:
    """Whether it is a file that lies there, or a link in place of one; folders are walked."""
    if file.is_symlink():
        return True
    return file.is_file() and file.resolve().is_relative_to(folder.resolve())


def take_in(*, paths: Iterable[Path], tools: Tools) -> Iterator[Outcome]:
    """
    Capture what lies at the paths, one outcome at a time.

    Manifests come first; a file that none of them names and that is no vCon goes to quarantine,
    as does what cannot be read. Raises StoreUnavailable and AuditUnavailable: run again later.
    """
    files = files_at(paths)
    links = [file for file in files if file.is_symlink()]
    kinds = {file: _kind(file) for file in files if file not in links}
    named: set[Path] = set()
    for file, kind in kinds.items():
        if kind == "manifest":
            yield from _take_manifest(file, tools=tools, named=named)
    for link in links:
        # Whoever may write here could name what lies elsewhere, another company's spool for one.
        yield Outcome(link.name, None, LINK)
    for file, kind in kinds.items():
        if kind == "vcon":
            yield _take_vcon(file, tools=tools)
        elif kind == "unknown" and file.resolve() not in named:
            yield _put_aside(file, UNNAMED, tools=tools)


def _kind(file: Path) -> Format:
    try:
        return sniff(file)
    except OSError:
        return "unknown"


def _take_manifest(path: Path, *, tools: Tools, named: set[Path]) -> Iterator[Outcome]:
    lines = read_manifest(path)
    while True:
        try:
            read = next(lines)
        except StopIteration:
            return
        except OSError:
            yield Outcome(path.name, None, UNREADABLE)
            return
        named.update(file.resolve() for file in read.files)
        yield _take_line(f"{path.name}:{read.line}", path, read, tools=tools)


def _take_line(name: str, path: Path, read: Read, *, tools: Tools) -> Outcome:
    if isinstance(read.outcome, Refused):
        line = _line_of(path, read.outcome)
        return _put_line_aside(name, line, read.files, read.outcome.reason, tools=tools)
    try:
        return Outcome(name, _capture(read.outcome, tools=tools), None)
    except DestroyedBefore as refused:
        return Outcome(name, None, str(refused), is_refused=True)
    except CannotCapture as refused:
        return _put_line_aside(name, _bytes(read.raw), read.files, str(refused), tools=tools)


def _take_vcon(path: Path, *, tools: Tools) -> Outcome:
    try:
        incoming = read_vcon(path)
        captured = _capture(incoming, tools=tools)
        return Outcome(path.name, captured, None, incoming.left_out)
    except DestroyedBefore as refused:
        return Outcome(path.name, None, str(refused), is_refused=True)
    except CannotCapture as refused:
        return _put_aside(path, str(refused), tools=tools)
    except OSError:
        return Outcome(path.name, None, UNREADABLE)


def _capture(incoming: IncomingConversation, *, tools: Tools) -> Captured:
    return capture(
        incoming=incoming,
        source=tools.source,
        store=tools.store,
        keyring=tools.keyring,
        now=tools.clock(),
    )


def _bytes(raw: bytes) -> Chunks:
    return lambda: iter([raw])


def _line_of(path: Path, refused: Refused) -> Chunks:
    """The whole line, read again from the file where it was too long to be held."""

    def chunks() -> Iterator[bytes]:
        with path.open("rb") as stream:
            stream.seek(refused.offset_bytes)
            left = refused.length_bytes
            while left and (chunk := stream.read(min(left, CHUNK_BYTES))):
                left -= len(chunk)
                yield chunk

    return chunks


def _put_line_aside(
    name: str, line: Chunks, files: tuple[Path, ...], reason: str, *, tools: Tools
) -> Outcome:
    try:
        item = _quarantine(name, line, reason, tools=tools)
    except OSError:
        return Outcome(name, None, UNREADABLE)
    except DestroyedBefore as refused:
        return Outcome(name, None, str(refused), is_refused=True)
    for file in files:
        _put_aside(file, reason, tools=tools)
    return Outcome(name, None, reason, item=item.pk)


def _put_aside(path: Path, reason: str, *, tools: Tools) -> Outcome:
    def chunks() -> Iterator[bytes]:
        with path.open("rb") as stream:
            yield from chunks_of(stream)

    try:
        item = _quarantine(path.name, chunks, reason, tools=tools)
    except OSError:
        # There are no bytes to keep; what remains is to say so.
        return Outcome(path.name, None, UNREADABLE)
    except DestroyedBefore as refused:
        return Outcome(path.name, None, str(refused), is_refused=True)
    return Outcome(path.name, None, reason, item=item.pk)


def _quarantine(name: str, chunks: Chunks, reason: str, *, tools: Tools) -> QuarantinedItem:
    return quarantine(
        source=tools.source,
        name=name,
        chunks=chunks,
        reason=reason,
        store=tools.store,
        keyring=tools.keyring,
        now=tools.clock(),
    )
