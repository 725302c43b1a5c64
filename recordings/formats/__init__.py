"""Readers that turn what phone and chat systems write into conversations to be captured."""

from recordings.formats.incoming import (
    CannotCapture,
    IncomingConversation,
    IncomingFile,
    IncomingMessage,
    IncomingParty,
    IncomingSegment,
    Read,
    Refused,
)

__all__ = [
    "CannotCapture",
    "IncomingConversation",
    "IncomingFile",
    "IncomingMessage",
    "IncomingParty",
    "IncomingSegment",
    "Read",
    "Refused",
]
