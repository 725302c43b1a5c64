"""The tables of the audit log, by what they hold: events, and what seals them."""

from audit.models.deliveries import Delivery
from audit.models.events import AuditDetail, Event, Log
from audit.models.growth import Cut, LogHold, LogTerm
from audit.models.sealing import Anchor, Checkpoint, Leaf, Node, Origin, SealingKey
from audit.models.searches import SavedSearch

__all__ = [
    "Anchor",
    "AuditDetail",
    "Checkpoint",
    "Cut",
    "Delivery",
    "Event",
    "Leaf",
    "Log",
    "LogHold",
    "LogTerm",
    "Node",
    "Origin",
    "SavedSearch",
    "SealingKey",
]
