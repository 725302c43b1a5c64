"""Ways in by the browser: rules, matters and holds, purge runs, certificates, one conversation."""

from retention.views.attention import attention
from retention.views.certificates import certificate, certificate_file
from retention.views.conversations import explain, uncovered
from retention.views.holds import criterion_new, hold_place, hold_place_on
from retention.views.liftings import (
    criterion_drop,
    hold_lift,
    lifting_agree,
    lifting_take_back,
    matter_close,
)
from retention.views.matters import (
    matter,
    matter_handler_new,
    matter_new,
    matter_progress,
    matter_review,
    matters,
)
from retention.views.notices import notice_new
from retention.views.proposals import (
    proposal,
    proposal_approve,
    proposal_refuse,
    proposal_simulate,
    proposal_take_back,
)
from retention.views.purge_orders import purge_pause, purge_resume, purge_stop
from retention.views.purge_runs import purge_run, purge_run_progress, purge_runs
from retention.views.releases import rules_release, run_release, source_release
from retention.views.rules import (
    limit_set,
    rule_change,
    rule_new,
    rule_retire,
    rules,
)
from retention.views.simulations import simulation, simulation_progress
from retention.views.undecided import undecided_conversation, undecided_item

__all__ = [
    "attention",
    "certificate",
    "certificate_file",
    "criterion_drop",
    "criterion_new",
    "explain",
    "hold_lift",
    "hold_place",
    "hold_place_on",
    "lifting_agree",
    "lifting_take_back",
    "limit_set",
    "matter",
    "matter_close",
    "matter_handler_new",
    "matter_new",
    "matter_progress",
    "matter_review",
    "matters",
    "notice_new",
    "proposal",
    "proposal_approve",
    "proposal_refuse",
    "proposal_simulate",
    "proposal_take_back",
    "purge_pause",
    "purge_resume",
    "purge_run",
    "purge_run_progress",
    "purge_runs",
    "purge_stop",
    "rule_change",
    "rule_new",
    "rule_retire",
    "rules",
    "rules_release",
    "run_release",
    "simulation",
    "simulation_progress",
    "source_release",
    "uncovered",
    "undecided_conversation",
    "undecided_item",
]
