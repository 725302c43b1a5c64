"""Reads our own manifest: a text file with one conversation, as a JSON object, on each line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files as resources
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from recordings.formats.checks import identifier, parse_json, parse_time
from recordings.formats.incoming import (
    CannotCapture,
    IncomingConversation,
    IncomingFile,
    IncomingMessage,
    IncomingParty,
    IncomingSegment,
    Read,
    ReferenceKind,
    Refused,
)
from recordings.formats.places import locate

MAX_LINE_BYTES = 8 * 1024 * 1024
MAX_MESSAGES_FILE_BYTES = 64 * 1024 * 1024
KEPT_OF_A_LONG_LINE_BYTES = 64 * 1024
_SKIPPING_BYTES = 1024 * 1024

_REFERENCES: tuple[ReferenceKind, ...] = ("contract", "claim")
_IDENTIFIERS = ("tel", "mailto", "sip", "customer_number", "policy_number", "national_id")


@cache
def _schema() -> dict[str, Any]:
    source = resources("recordings.formats").joinpath("manifest.schema.json")
    schema: dict[str, Any] = orjson.loads(source.read_bytes())
    return schema


@cache
def _validator(definition: str | None) -> Draft202012Validator:
    schema = _schema()
    if definition is not None:
        schema = {"$defs": schema["$defs"], "$ref": f"#/$defs/{definition}"}
    return Draft202012Validator(schema)


def read_manifest(path: Path, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Read]:
    """
    Read a manifest line by line; one bad line spoils no other.

    Empty lines are skipped. Files are only looked up, not opened: what is found lies inside the
    manifest's folder at the time of reading.

    Raises:
        OSError: the manifest itself cannot be read.
    """
    with path.open("rb") as stream:
        for number, offset, raw, length in _lines(stream, max_line_bytes):
            if length > max_line_bytes:
                reason = f"The line is longer than {max_line_bytes} bytes."
                beginning = raw[:KEPT_OF_A_LONG_LINE_BYTES]
                refused = Refused(number, reason, beginning, (), offset, length)
                yield Read(number, beginning, refused)
            elif raw.removeprefix(b"\xef\xbb\xbf").strip():
                yield _read(raw, number, offset, path.parent)


def _lines(stream: BinaryIO, limit: int) -> Iterator[tuple[int, int, bytes, int]]:
    """Number, offset, bytes and length of each line; a longer one is skipped, not held."""
    number = offset = 0
    while raw := stream.readline(limit + 2):
        number += 1
        length, last = len(raw), raw
        while not last.endswith(b"\n") and (last := stream.readline(_SKIPPING_BYTES)):
            length += len(last)
        body = raw.rstrip(b"\r\n")
        yield number, offset, body, len(body) if length == len(raw) else length
        offset += length


def _read(raw: bytes, number: int, offset: int, folder: Path) -> Read:
    line: Any = None
    try:
        line = parse_json(raw, what="The line")
        _check_shape(line)
        return Read(number, raw, _conversation(line, folder), _files_found(line, folder))
    except CannotCapture as refusal:
        found = _files_found(line, folder)
        refused = Refused(number, str(refusal), raw, found, offset, len(raw))
        return Read(number, raw, refused, found)


def _files_found(line: Any, folder: Path) -> tuple[Path, ...]:
    """The files that a line, even a wrong one, names and that lie where they may."""
    if not isinstance(line, dict):
        return ()
    named = line.get("files")
    listed = named if isinstance(named, list) else []
    entries = [entry for entry in listed if isinstance(entry, dict)]
    paths = [entry.get("path") for entry in entries] + [line.get("messages_file")]
    found: dict[Path, None] = {}
    for path in paths:
        if isinstance(path, str):
            try:
                found[locate(path, folder=folder, field="path")] = None
            except CannotCapture:
                continue
    return tuple(found)


def _check_shape(value: Any, *, definition: str | None = None, within: str = "") -> None:
    """
    Compare with the schema.

    Raises:
        CannotCapture: in the words of the schema; what the file says is never quoted.
    """
    error = best_match(_validator(definition).iter_errors(value))
    if error is not None:
        raise CannotCapture(_sentence(error, within))


def _sentence(error: ValidationError, within: str) -> str:
    place = within
    for step in error.absolute_path:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else str(step)
    field = f"Field {place}" if place else "The line"
    demanded: Any = error.validator_value
    # Only where the schema is the author of the words: `error.message` quotes the file.
    match error.validator:
        case "required":
            present = error.instance if isinstance(error.instance, dict) else {}
            missing = [name for name in demanded if name not in present]
            return f"{field} lacks {', '.join(missing)}."
        case "additionalProperties":
            return f"{field} has a field that manifests do not know."
        case "type":
            return f"{field} is not of type {demanded}."
        case "enum":
            return f"{field} is none of {', '.join(map(str, demanded))}."
        case "maxLength" | "maxItems" | "maximum":
            return f"{field} is larger than {demanded}."
        case "minLength" | "minItems" | "minimum":
            return f"{field} is smaller than {demanded}."
        case _:
            return f"{field} does not have the form that manifests give it."


def _conversation(line: Mapping[str, Any], folder: Path) -> IncomingConversation:
    started_at, _ = parse_time(line["started_at"], field="started_at")
    ended_at, _ = parse_time(line["ended_at"], field="ended_at")
    if ended_at < started_at:
        raise CannotCapture("The conversation ends before it starts.")
    parties = tuple(_party(party) for party in line.get("parties", ()))
    messages = _messages(line, folder, parties)
    files = _files(line.get("files", ()), folder, started_at)
    if line["kind"] == "call" and not files:
        raise CannotCapture("A call names no sound recording.")
    if line["kind"] == "chat" and not messages:
        raise CannotCapture("A chat holds no message.")
    return IncomingConversation(
        external_id=line["id"],
        kind=line["kind"],
        started_at=started_at,
        ended_at=ended_at,
        direction=line.get("direction"),
        controller=line.get("controller"),
        language=line.get("language"),
        parties=parties,
        segments=_segments(line, parties, started_at, ended_at),
        files=files,
        messages=messages,
        subject=line.get("subject"),
        notice=line.get("notice"),
        informed_by=line.get("informed_by"),
        linked_to=line.get("linked_to"),
        outcome=line.get("outcome"),
        references=tuple(
            (kind, value) for kind in _REFERENCES for value in _listed(line.get(kind, ()))
        ),
        tags=tuple(line.get("tags", ())),
    )


def _listed(values: str | Sequence[str]) -> Sequence[str]:
    return (values,) if isinstance(values, str) else values


def _party(party: Mapping[str, Any]) -> IncomingParty:
    identifiers = []
    for kind in _IDENTIFIERS:
        for value in _listed(party.get(kind, ())):
            identifiers.append(identifier(kind, value))  # noqa: PERF401 (two loops read better)
    return IncomingParty(
        role=party["role"],
        name=party.get("name"),
        login=party.get("login"),
        identifiers=tuple(identifiers),
    )


def _agent(named: int | str | None, parties: Sequence[IncomingParty], *, field: str) -> int | None:
    """The place of the agent meant: the only one when none is named, and none if there are more."""
    agents = [place for place, party in enumerate(parties) if party.role == "agent"]
    if named is None:
        return agents[0] if len(agents) == 1 else None
    if isinstance(named, str):
        agents = [place for place in agents if parties[place].login == named]
    else:
        agents = [place for place in agents if place == named]
    if len(agents) != 1:
        raise CannotCapture(f"Field {field} does not name one agent among the parties.")
    return agents[0]


def _segments(
    line: Mapping[str, Any],
    parties: Sequence[IncomingParty],
    started_at: datetime,
    ended_at: datetime,
) -> tuple[IncomingSegment, ...]:
    short_form = {"team", "queue", "agent"} & line.keys()
    if "segments" not in line:
        if not short_form:
            return ()
        agent = _agent(line.get("agent"), parties, field="agent")
        whole = IncomingSegment(started_at, ended_at, line.get("team"), line.get("queue"), agent)
        return (whole,)
    if short_form:
        raise CannotCapture("The line has both segments and their short form.")
    segments = []
    for place, segment in enumerate(line["segments"]):
        field = f"segments[{place}]"
        from_at, _ = parse_time(segment["from"], field=f"{field}.from")
        until_at, _ = parse_time(segment["until"], field=f"{field}.until")
        if until_at < from_at:
            raise CannotCapture(f"Field {field} ends before it starts.")
        if from_at < started_at or until_at > ended_at:
            raise CannotCapture(f"Field {field} reaches beyond the conversation.")
        agent = _agent(segment.get("agent"), parties, field=f"{field}.agent")
        segments.append(
            IncomingSegment(from_at, until_at, segment.get("team"), segment.get("queue"), agent)
        )
    return tuple(segments)


def _files(
    entries: Sequence[Mapping[str, Any]], folder: Path, started_at: datetime
) -> tuple[IncomingFile, ...]:
    files: list[IncomingFile] = []
    for place, entry in enumerate(entries):
        field = f"files[{place}]"
        path = locate(entry["path"], folder=folder, field=f"{field}.path")
        if any(path == earlier.path for earlier in files):
            raise CannotCapture(f"Field {field}.path names the same file as another.")
        roles = tuple(entry.get("channel_roles", ()))
        channels = entry.get("channels")
        if roles and channels is not None and len(roles) != channels:
            raise CannotCapture(f"Field {field}.channel_roles does not name every channel.")
        starts = entry.get("started_at")
        digest = entry.get("sha256")
        files.append(
            IncomingFile(
                path=path,
                body=None,
                name=path.name,
                started_at=(
                    parse_time(starts, field=f"{field}.started_at")[0] if starts else started_at
                ),
                mediatype=entry.get("mediatype"),
                codec_hint=entry.get("codec"),
                sample_rate_hint=entry.get("sample_rate"),
                channels_hint=channels,
                duration_seconds=entry.get("duration_seconds"),
                channel_roles=roles,
                content_hash=f"sha256:{digest.lower()}" if digest else None,
            )
        )
    return tuple(files)


def _messages(
    line: Mapping[str, Any], folder: Path, parties: Sequence[IncomingParty]
) -> tuple[IncomingMessage, ...]:
    if "messages_file" not in line:
        entries = line.get("messages", ())
    elif "messages" in line:
        raise CannotCapture("The line has both messages and a messages file.")
    else:
        path = locate(line["messages_file"], folder=folder, field="messages_file")
        entries = _entries_of(path)
    return tuple(_message(entry, place, parties) for place, entry in enumerate(entries))


def _entries_of(path: Path) -> list[Mapping[str, Any]]:
    """The messages in a file of their own, checked one by one."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_MESSAGES_FILE_BYTES + 1)
    except OSError:
        raise CannotCapture("The messages file cannot be read.") from None
    if len(raw) > MAX_MESSAGES_FILE_BYTES:
        raise CannotCapture(f"The messages file is larger than {MAX_MESSAGES_FILE_BYTES} bytes.")
    entries: list[Mapping[str, Any]] = []
    for text in raw.split(b"\n"):
        if not text.strip():
            continue
        field = f"messages[{len(entries)}]"
        entry = parse_json(text, what=f"Field {field}")
        _check_shape(entry, definition="message", within=field)
        entries.append(entry)
        if len(entries) > _schema()["properties"]["messages"]["maxItems"]:
            raise CannotCapture("The messages file holds too many messages.")
    return entries


def _message(
    entry: Mapping[str, Any], place: int, parties: Sequence[IncomingParty]
) -> IncomingMessage:
    field = f"messages[{place}]"
    at, _ = parse_time(entry["at"], field=f"{field}.at")
    party = entry.get("party")
    if party is not None and party >= len(parties):
        raise CannotCapture(f"Field {field}.party is nobody among the parties.")
    text, deleted = entry.get("text"), entry.get("deleted", False)
    if text is None and not deleted:
        raise CannotCapture(f"Field {field} lacks text.")
    return IncomingMessage(
        at=at,
        party=party,
        text=text or "",
        mediatype=entry.get("mediatype", "text/plain"),
        message_id=entry.get("id"),
        edited=entry.get("edited", False),
        deleted=deleted,
    )
