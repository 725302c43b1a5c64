"""How long conversations are kept, what bars their destruction, and the proof of it."""

from retention.models.events import BusinessEvent
from retention.models.holds import Hold, Matter, MatterHandler
from retention.models.purge import Certificate, Destruction, LedgerEntry, PurgeRun
from retention.models.rules import PurposeLimit, Recomputation, RetentionRule, RuleVersion

__all__ = [
    "BusinessEvent",
    "Certificate",
    "Destruction",
    "Hold",
    "LedgerEntry",
    "Matter",
    "MatterHandler",
    "PurgeRun",
    "PurposeLimit",
    "Recomputation",
    "RetentionRule",
    "RuleVersion",
]
