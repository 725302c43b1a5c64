"""How long conversations are kept, what bars their destruction, and the proof of it."""

from retention.models.criteria import Criterion
from retention.models.enacted import Urgency
from retention.models.events import BusinessEvent
from retention.models.holds import Hold, Matter, MatterHandler, MatterReview
from retention.models.liftings import Lifting
from retention.models.proposals import Proposal
from retention.models.purge import Certificate, Destruction, LedgerEntry, PurgePause, PurgeRun
from retention.models.rules import PurposeLimit, Recomputation, RetentionRule, RuleVersion
from retention.models.simulations import Simulation
from retention.models.timetable import TaskEnd
from retention.models.undecided import About, Disposition, Notice

__all__ = [
    "About",
    "BusinessEvent",
    "Certificate",
    "Criterion",
    "Destruction",
    "Disposition",
    "Hold",
    "LedgerEntry",
    "Lifting",
    "Matter",
    "MatterHandler",
    "MatterReview",
    "Notice",
    "Proposal",
    "PurgePause",
    "PurgeRun",
    "PurposeLimit",
    "Recomputation",
    "RetentionRule",
    "RuleVersion",
    "Simulation",
    "TaskEnd",
    "Urgency",
]
