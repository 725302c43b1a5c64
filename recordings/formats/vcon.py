"""Reads unsigned vCon JSON, in the shapes of drafts 0.0.1 to 0.4, by shape and not by version."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from recordings.formats.checks import later, parse_json, parse_time
from recordings.formats.incoming import (
    CannotCapture,
    IncomingConversation,
    IncomingFile,
    IncomingMessage,
)
from recordings.formats.vcon_bodies import mediatype_of, sound_of, text_of
from recordings.formats.vcon_parties import Parties, read_parties

MAX_FILE_BYTES = 200 * 1024 * 1024
MAX_DIALOGS = 20_000
LONGEST_RECORDING_SECONDS = 24 * 60 * 60

_DIRECTIONS = {"in": "inbound", "inbound": "inbound", "out": "outbound", "outbound": "outbound"}
_EXTENSIONS = {
    "audio/x-wav": ".wav",
    "audio/wav": ".wav",
    "audio/x-mp3": ".mp3",
    "audio/mp3": ".mp3",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/flac": ".flac",
    "audio/webm": ".webm",
    "audio/mp4": ".m4a",
    "audio/x-m4a": ".m4a",
    "audio/basic": ".au",
    "audio/gsm": ".gsm",
}
# Say that something happened and hold nothing that was said.
_WITHOUT_CONTENT = ("incomplete", "transfer", "recording-set")


@dataclass(slots=True)
class _Found:
    """What the dialogs gave so far."""

    files: list[IncomingFile] = field(default_factory=list)
    messages: list[IncomingMessage] = field(default_factory=list)
    starts: list[datetime] = field(default_factory=list)
    ends: list[datetime] = field(default_factory=list)
    emptied: int = 0
    is_zone_assumed: bool = False
    is_end_open: bool = False
    left_out: dict[str, None] = field(default_factory=dict)


def read_vcon(path: Path, *, max_bytes: int = MAX_FILE_BYTES) -> IncomingConversation:
    """
    Read one vCon; nothing is ever fetched.

    A time without a zone is taken as UTC, and the conversation says so. Analyses and attachments
    are not captured; `left_out` names them.

    Raises:
        CannotCapture: it is no vCon, is signed or encrypted, points at its content by URL, needs
            an unknown extension, or holds nothing that can be kept.
        OSError: the file cannot be read.

    Source: draft-ietf-vcon-vcon-core (2026-07-01) and its earlier syntaxes.
    """
    with path.open("rb") as stream:
        raw = stream.read(max_bytes + 1)
    if len(raw) > max_bytes:
        raise CannotCapture(f"The vCon is larger than {max_bytes} bytes.")
    vcon = parse_json(raw, what="The file")
    check_form(vcon)
    parties = read_parties(vcon.get("parties"))
    created_at = _created_at(vcon)
    found = _Found()
    for dialog in _dialogs(vcon):
        _take(dialog, parties, created_at, found)
    if not found.files and not found.messages:
        raise CannotCapture(_why_nothing(vcon, found))
    _note_left_out(vcon, found)
    subject = vcon.get("subject")
    return IncomingConversation(
        external_id=_external_id(vcon, raw),
        kind="call" if found.files else "chat",
        started_at=min(found.starts),
        ended_at=max(found.ends),
        direction=_direction(vcon),
        parties=parties.parties,
        files=tuple(found.files),
        messages=tuple(sorted(found.messages, key=lambda message: message.at)),
        subject=subject[:500] if isinstance(subject, str) and subject.strip() else None,
        linked_to=_earlier_version(vcon),
        zone_assumption="UTC" if found.is_zone_assumed else None,
        is_end_open=found.is_end_open,
        left_out=tuple(found.left_out),
    )


def check_form(vcon: Any) -> None:
    """
    Tell the unsigned form from all else.

    Raises:
        CannotCapture: it is something else, or needs an extension that is unknown here.
    """
    if not isinstance(vcon, dict):
        raise CannotCapture("The file is not a vCon: it holds no JSON object.")
    if "payload" in vcon or "signatures" in vcon:
        raise CannotCapture("The vCon is signed, which cannot be captured yet.")
    if "ciphertext" in vcon or "recipients" in vcon:
        raise CannotCapture("The vCon is encrypted, which cannot be captured yet.")
    if not {"vcon", "dialog", "parties"} & vcon.keys():
        raise CannotCapture("The file is not a vCon.")
    for name in ("critical", "must_support"):
        # Source: draft-ietf-vcon-vcon-core, critical: an unknown name must not be processed.
        if vcon.get(name) not in (None, []):
            raise CannotCapture("The vCon demands an extension that is not known here.")


def _dialogs(vcon: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    declared = vcon.get("dialog")
    if declared is None:
        return []
    entries = declared if isinstance(declared, list) else [declared]
    if len(entries) > MAX_DIALOGS:
        raise CannotCapture(f"The vCon holds more than {MAX_DIALOGS} dialogs.")
    if not all(isinstance(entry, dict) for entry in entries):
        raise CannotCapture("A dialog of the vCon is not a JSON object.")
    return entries


def _take(
    dialog: Mapping[str, Any], parties: Parties, created_at: str | None, found: _Found
) -> None:
    kind = dialog.get("type")
    if kind is None:
        kind = "text" if (mediatype_of(dialog)[0] or "").startswith("text/") else "recording"
    if kind in _WITHOUT_CONTENT:
        found.left_out[kind] = None
        return
    if kind not in ("recording", "text"):
        raise CannotCapture("A dialog of the vCon is of a kind that is not known here.")
    if dialog.get("body") in (None, ""):
        if dialog.get("url"):
            raise CannotCapture("The vCon only points at its content by URL; none is fetched.")
        found.emptied += 1
        return
    started_at = _started_at(dialog, created_at, found)
    duration_seconds = _duration_seconds(dialog)
    found.starts.append(started_at)
    found.ends.append(later(started_at, duration_seconds or 0.0))
    if kind == "recording":
        found.is_end_open |= duration_seconds is None
        found.files.append(_recording(dialog, parties, started_at, duration_seconds))
    else:
        found.messages.append(_message(dialog, parties, started_at))


def _started_at(dialog: Mapping[str, Any], created_at: str | None, found: _Found) -> datetime:
    start = dialog.get("start")
    if start is None:
        start = created_at
    if not isinstance(start, str):
        raise CannotCapture("A dialog of the vCon does not say when it started.")
    moment, is_zone_assumed = parse_time(start, field="dialog.start", assume_utc=True)
    found.is_zone_assumed |= is_zone_assumed
    return moment


def _created_at(vcon: Mapping[str, Any]) -> str | None:
    created_at = vcon.get("created_at")
    return created_at if isinstance(created_at, str) else None


def _duration_seconds(dialog: Mapping[str, Any]) -> float | None:
    """Seconds as declared; 0 is what senders write who do not know."""
    declared = dialog.get("duration")
    if declared is None or declared == "":
        return None
    try:
        seconds = math.nan if isinstance(declared, bool) else float(declared)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise CannotCapture("A dialog of the vCon has a duration that is no number of seconds.")
    return seconds or None


def _recording(
    dialog: Mapping[str, Any],
    parties: Parties,
    started_at: datetime,
    duration_seconds: float | None,
) -> IncomingFile:
    if duration_seconds is not None and duration_seconds > LONGEST_RECORDING_SECONDS:
        raise CannotCapture("A recording of the vCon claims to be longer than a day.")
    content, content_hash = sound_of(dialog)
    if not content:
        raise CannotCapture("A recording of the vCon is empty.")
    mediatype, _ = mediatype_of(dialog)
    return IncomingFile(
        path=None,
        body=content,
        name=_file_name(dialog.get("filename"), mediatype),
        started_at=started_at,
        mediatype=mediatype,
        duration_seconds=duration_seconds,
        channel_roles=parties.channel_roles(dialog.get("parties")),
        content_hash=content_hash,
        # Senders list the parties of a call, however many channels it has.
        is_channel_map_certain=False,
    )


def _file_name(declared: object, mediatype: str | None) -> str:
    """The last part of the declared name: it gives the extension and is never a path."""
    if isinstance(declared, str):
        last = declared.replace("\\", "/").rstrip("/").rpartition("/")[2].strip()
        if last not in ("", ".", ".."):
            return last[-255:]
    return "recording" + _EXTENSIONS.get(mediatype or "", "")


def _message(dialog: Mapping[str, Any], parties: Parties, started_at: datetime) -> IncomingMessage:
    text, mediatype = text_of(dialog)
    author = dialog.get("originator")
    if author is None:
        named = dialog.get("parties")
        while isinstance(named, list):
            named = named[0] if named else None
        author = named
    message_id = dialog.get("message_id")
    return IncomingMessage(
        at=started_at,
        party=parties.at(author),
        text=text,
        mediatype=mediatype,
        message_id=message_id if isinstance(message_id, str) and message_id else None,
    )


def _why_nothing(vcon: Mapping[str, Any], found: _Found) -> str:
    if found.emptied and vcon.get("redacted"):
        return "The vCon has been redacted and nothing of its dialogs is left."
    if found.emptied:
        return "The dialogs of the vCon have neither content nor a place where it lies."
    if found.left_out:
        return "The vCon holds no dialog with content: the contact did not come about."
    return "The vCon holds no dialog."


def _note_left_out(vcon: Mapping[str, Any], found: _Found) -> None:
    for name in ("analysis", "attachments"):
        if vcon.get(name):
            found.left_out[name] = None


def _external_id(vcon: Mapping[str, Any], raw: bytes) -> str:
    uuid = vcon.get("uuid")
    if isinstance(uuid, str) and uuid.strip():
        return _canonical(uuid.strip())
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _canonical(uuid: str) -> str:
    if len(uuid) > 500:
        raise CannotCapture("The identifier of the vCon is too long.")
    try:
        return str(UUID(uuid))
    except ValueError:
        return uuid


def _earlier_version(vcon: Mapping[str, Any]) -> str | None:
    """The vCon of which this one is a redacted or amended version."""
    for name in ("redacted", "amended", "appended"):
        earlier = vcon.get(name)
        uuid = earlier.get("uuid") if isinstance(earlier, dict) else None
        if isinstance(uuid, str) and uuid.strip():
            return _canonical(uuid.strip())
    return None


def _direction(vcon: Mapping[str, Any]) -> str | None:
    meta = vcon.get("meta")
    said = meta.get("direction") if isinstance(meta, dict) else None
    return _DIRECTIONS.get(said.lower()) if isinstance(said, str) else None
