"""Conversations, what they consist of, and what they may be used for."""

from recordings.models.among import among, uuid_array
from recordings.models.content import Dialog, Rendition, StoredObject
from recordings.models.conversation import Conversation
from recordings.models.keys import DestroyedKek, Rewrap
from recordings.models.people import DataSubject, Party, Segment
from recordings.models.quarantine import QuarantinedItem
from recordings.models.reference import BusinessReference
from recordings.models.use import NO_END, PermittedUse

__all__ = [
    "NO_END",
    "BusinessReference",
    "Conversation",
    "DataSubject",
    "DestroyedKek",
    "Dialog",
    "Party",
    "PermittedUse",
    "QuarantinedItem",
    "Rendition",
    "Rewrap",
    "Segment",
    "StoredObject",
    "among",
    "uuid_array",
]
