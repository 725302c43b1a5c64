"""The tables of the audit log: events, what seals them, and what others say of that."""

from audit.models.events import AuditDetail, Event, Log
from audit.models.growth import Cut, LogHold, LogTerm
from audit.models.sealing import Anchor, Checkpoint, Leaf, Node, Origin, SealingKey
from audit.models.streaming import Stream, StreamCursor
from audit.models.witnessing import Cosignature, TimeStamp

__all__ = [
    "Anchor",
    "AuditDetail",
    "Checkpoint",
    "Cosignature",
    "Cut",
    "Event",
    "Leaf",
    "Log",
    "LogHold",
    "LogTerm",
    "Node",
    "Origin",
    "SealingKey",
    "Stream",
    "StreamCursor",
    "TimeStamp",
]
