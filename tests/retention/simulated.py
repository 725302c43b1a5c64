"""A simulation that is finished, for tests of what shows it."""

from __future__ import annotations

from accounts.models import Controller, Purpose, User
from audit import clock
from retention.changes import RuleChange
from retention.models import RetentionRule, Simulation
from retention.operations.simulate import run_next, simulate
from tests.retention.retention_factories import draft


def simulated(controller: Controller, purpose: Purpose, user: User, *, days: int = 1) -> Simulation:
    """Simulate the company's rule for the purpose keeping so many days."""
    rule = RetentionRule.objects.filter(controller=controller, purpose=purpose).first()
    says = draft(months=0, days=days, statute="Act 1/2020")
    change = RuleChange(controller, purpose, says, rule, "By law")
    row = simulate(changes=[change], user=user, now=clock.now())
    run_next(clock=clock.now)
    row.refresh_from_db()
    return row
