"""How long conversations are kept, what bars their destruction, and the proof of it."""

from retention.models.holds import Hold, Matter, MatterHandler
from retention.models.purge import Certificate, Destruction, PurgePause, PurgeRun
from retention.models.rules import PurposeLimit, Recomputation, RetentionRule, RuleVersion

__all__ = [
    "Certificate",
    "Destruction",
    "Hold",
    "Matter",
    "MatterHandler",
    "PurgePause",
    "PurgeRun",
    "PurposeLimit",
    "Recomputation",
    "RetentionRule",
    "RuleVersion",
]
