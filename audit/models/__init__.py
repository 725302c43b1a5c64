"""The tables of the audit log, by what they hold: events, and what seals them."""

from audit.models.events import AuditDetail, Event, Log
from audit.models.sealing import Anchor, Checkpoint, Leaf, Node, Origin, SealingKey

__all__ = [
    "Anchor",
    "AuditDetail",
    "Checkpoint",
    "Event",
    "Leaf",
    "Log",
    "Node",
    "Origin",
    "SealingKey",
]
