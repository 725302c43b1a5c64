"""How long conversations are kept, what bars their destruction, and the proof of it."""

from retention.models.holds import Hold, Matter, MatterHandler
from retention.models.purge import Certificate, Destruction, PurgeRun
from retention.models.rules import PurposeLimit, Recomputation, RetentionRule, RuleVersion
from retention.models.simulations import Simulation

__all__ = [
    "Certificate",
    "Destruction",
    "Hold",
    "Matter",
    "MatterHandler",
    "PurgeRun",
    "PurposeLimit",
    "Recomputation",
    "RetentionRule",
    "RuleVersion",
    "Simulation",
]
