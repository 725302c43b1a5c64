"""Ways in by the browser: rules, matters and holds, purge runs, certificates, one conversation."""

from retention.views.certificates import certificate, certificate_file
from retention.views.conversations import explain, uncovered
from retention.views.matters import (
    hold_lift,
    hold_place,
    hold_place_on,
    matter,
    matter_close,
    matter_handler_new,
    matter_new,
    matters,
)
from retention.views.purge_runs import purge_run, purge_run_progress, purge_runs
from retention.views.rules import limit_set, rule_change, rule_new, rule_retire, rules
from retention.views.simulations import simulation, simulation_progress

__all__ = [
    "certificate",
    "certificate_file",
    "explain",
    "hold_lift",
    "hold_place",
    "hold_place_on",
    "limit_set",
    "matter",
    "matter_close",
    "matter_handler_new",
    "matter_new",
    "matters",
    "purge_run",
    "purge_run_progress",
    "purge_runs",
    "rule_change",
    "rule_new",
    "rule_retire",
    "rules",
    "simulation",
    "simulation_progress",
    "uncovered",
]
