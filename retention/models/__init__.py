"""How long conversations are kept, what bars their destruction, and the proof of it."""

from retention.models.criteria import Criterion
from retention.models.holds import Hold, Matter, MatterHandler, MatterReview
from retention.models.liftings import Lifting
from retention.models.purge import Certificate, Destruction, PurgeRun
from retention.models.rules import PurposeLimit, Recomputation, RetentionRule, RuleVersion

__all__ = [
    "Certificate",
    "Criterion",
    "Destruction",
    "Hold",
    "Lifting",
    "Matter",
    "MatterHandler",
    "MatterReview",
    "PurgeRun",
    "PurposeLimit",
    "Recomputation",
    "RetentionRule",
    "RuleVersion",
]
