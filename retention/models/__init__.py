"""How long conversations are kept, what bars their destruction, and the proof of it."""

from retention.models.holds import Hold, Matter, MatterHandler
from retention.models.purge import Certificate, Destruction, PurgeRun
from retention.models.rules import PurposeLimit, Recomputation, RetentionRule, RuleVersion
from retention.models.timetable import TaskEnd
from retention.models.undecided import About, Disposition, Notice

__all__ = [
    "About",
    "Certificate",
    "Destruction",
    "Disposition",
    "Hold",
    "Matter",
    "MatterHandler",
    "Notice",
    "PurgeRun",
    "PurposeLimit",
    "Recomputation",
    "RetentionRule",
    "RuleVersion",
    "TaskEnd",
]
