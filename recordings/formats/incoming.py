"""What every reader yields: one conversation from outside, not yet trusted and not yet captured."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

PartyRole = Literal["agent", "customer"]
Kind = Literal["call", "chat"]
ReferenceKind = Literal["contract", "claim"]
InformedBy = Literal["announcement", "banner", "agent", "unknown"]


class CannotCapture(Exception):
    """
    What was handed over cannot become a conversation.

    The message is one sentence fit to show a person and to log: it never quotes what the file
    says, since that may be personal data.
    """


@dataclass(frozen=True, slots=True)
class IncomingParty:
    """Who took part; `identifiers` are pairs of kind and value, such as ("tel", "+358…")."""

    role: PartyRole
    name: str | None = None
    login: str | None = None
    identifiers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class IncomingFile:
    """
    One sound recording, either as a file on disk (`path`) or in memory (`body`), never both.

    Everything but the bytes is the sender's claim: rate, channels, duration and hash are compared
    with what decoding finds. `channel_roles` names who is heard on each channel, in order, and is
    empty when that is unknown; unless `is_channel_map_certain`, it means nothing for a recording
    with another number of channels. `content_hash` is "sha256:" + hex or "sha512-" + base64url.
    """

    path: Path | None
    body: bytes | None
    name: str
    started_at: datetime
    mediatype: str | None = None
    codec_hint: str | None = None
    sample_rate_hint: int | None = None
    channels_hint: int | None = None
    duration_seconds: float | None = None
    channel_roles: tuple[PartyRole, ...] = ()
    content_hash: str | None = None
    is_channel_map_certain: bool = True

    def __post_init__(self) -> None:
        if (self.path is None) == (self.body is None):
            raise ValueError("a recording has either a path or a body")


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """One message of a chat; `party` is an index into the conversation's parties."""

    at: datetime
    party: int | None
    text: str
    mediatype: str = "text/plain"
    message_id: str | None = None
    edited: bool = False
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class IncomingSegment:
    """A stretch of the conversation; `team` and `queue` are slugs, `agent` indexes parties."""

    from_at: datetime
    until_at: datetime
    team: str | None
    queue: str | None
    agent: int | None


@dataclass(frozen=True, slots=True)
class IncomingConversation:
    """
    One contact with a customer as the sender describes it; `controller` is a slug.

    `zone_assumption` names the zone that was assumed where the sender gave times without one.
    With `is_end_open` the sender does not say when it ended: `ended_at` is the earliest that it
    can be, and is to be moved to the end of the longest recording once that has been decoded.
    `left_out` names what the file holds besides and this version does not capture. `references`
    are the contracts and claims that it is about, as pairs such as ("claim", "K-17").
    """

    external_id: str
    kind: Kind
    started_at: datetime
    ended_at: datetime
    direction: str | None = None
    controller: str | None = None
    language: str | None = None
    parties: tuple[IncomingParty, ...] = ()
    segments: tuple[IncomingSegment, ...] = ()
    files: tuple[IncomingFile, ...] = ()
    messages: tuple[IncomingMessage, ...] = ()
    subject: str | None = None
    notice: str | None = None
    informed_by: InformedBy | None = None
    linked_to: str | None = None
    outcome: str | None = None
    references: tuple[tuple[ReferenceKind, str], ...] = ()
    tags: tuple[str, ...] = ()
    zone_assumption: str | None = None
    is_end_open: bool = False
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """
    A piece of a file that cannot be captured, kept whole so that someone can decide about it.

    `line` counts from 1. `reason` is one sentence without personal data. `files` are the
    recordings that the piece names and that lie where they may, so that none of them is dropped.
    A line that is too long is not read into memory: `raw` is its beginning then, and the whole of
    it lies `length_bytes` long at `offset_bytes` of the file.
    """

    line: int
    reason: str
    raw: bytes
    files: tuple[Path, ...] = ()
    offset_bytes: int = 0
    length_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Read:
    """
    One line of a manifest: its number (from 1), its bytes, and what it gave.

    `files` are all that the line names and that lie where they may: sound and messages.
    """

    line: int
    raw: bytes
    outcome: IncomingConversation | Refused
    files: tuple[Path, ...] = ()
