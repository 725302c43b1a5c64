"""What a change of rules would do, and carrying it through, at the sizes that are promised."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from django.db import connection

from accounts.models import Source, User
from accounts.operations.roles import assign_role
from accounts.roles import Role
from audit import clock
from audit.events import Actor
from bench.centre import Centre
from bench.measuring import Line, Scale, compared, require_same, seconds, take_turns
from bench.rows import make_conversations
from recordings.models import Conversation
from retention.changes import RuleChange
from retention.drafts import Draft
from retention.models import RetentionRule, Simulation
from retention.operations.recompute import BATCH_SIZE, recompute_next, request_recomputation
from retention.operations.simulate import run_next, simulate

CONVERSATIONS = {Scale.SMALL: 100_000, Scale.FULL: 1_000_000}
COVERED_ANEW = {Scale.SMALL: 10_000, Scale.FULL: 100_000}
# Half a year: what is shorter for everything, and over for a part of it.
NEW_MONTHS = 6
MEBIBYTE = 1024**2

# The plain question that no simulation can be without: which teams served each, and when it ended.
PLAINLY = """
SELECT count(*), sum(served.teams), max(c.ended_at)
FROM recordings_conversation c
JOIN (SELECT conversation_id, count(DISTINCT team_id) AS teams
      FROM recordings_segment GROUP BY conversation_id) AS served ON served.conversation_id = c.id
WHERE c.state = 'kept'
"""


def measure(centre: Centre, scale: Scale) -> Iterator[Line]:
    """Measure a simulation against the plainest reading, then covering anew, changed or not."""
    # Of a source of their own: another group may have made some of the first.
    source = Source.objects.create(
        name="Second exchange",
        slug="second-exchange",
        controller=centre.controller,
        released_at=clock.now(),
    )
    make_conversations(replace(centre, source=source), CONVERSATIONS[scale])
    officer = _officer(centre)
    with centre.stage.acting_as("work"):
        ours, plain = take_turns(
            lambda _round: _simulation(centre, officer), lambda _round: _plainly()
        )
        yield compared("simulate_1m" if scale is Scale.FULL else "simulate", "s", ours, plain)
    yield from _covering(centre, COVERED_ANEW[scale])


def _simulation(centre: Centre, officer: User) -> float:
    rule = RetentionRule.objects.get(controller=centre.controller)
    draft = Draft(keep_months=NEW_MONTHS, keep_days=0, legal_basis="6.1.f")
    with centre.stage.acting_as("web"):
        simulate(
            changes=[RuleChange(centre.controller, centre.coaching, draft, rule)],
            user=officer,
            now=clock.now(),
        )
    with centre.stage.acting_as("work"):
        took = seconds(lambda: run_next(clock=clock.now))
        result = json.loads(Simulation.objects.latest("asked_at").result)
        require_same(result["all"]["total"], Conversation.objects.count(), "The simulation")
    return took


def _officer(centre: Centre) -> User:
    """The company's compliance officer, who asks."""
    user = User.objects.create_user("officer@example.com", full_name="Olga Officer")
    now = clock.now()
    assign_role(
        user=user,
        role=Role.COMPLIANCE_OFFICER,
        controller=centre.controller,
        until_at=now + timedelta(days=365),
        actor=Actor.system("bench"),
        now=now,
    )
    return user


def _plainly() -> float:
    def ask() -> None:
        with connection.cursor() as cursor:
            cursor.execute(PLAINLY)
            cursor.fetchall()

    return seconds(ask)


def _covering(centre: Centre, count: int) -> Iterator[Line]:
    """Cover so many anew that change, and the same again, which then do not."""
    for name in ("recompute_changed", "recompute_unchanged"):
        request_recomputation(controller=centre.controller, now=clock.now())
        before = _resident_mebibytes()
        took = seconds(lambda: _recompute(count))
        yield Line(f"{name}_rate", count / took, "conversations/s")
        yield Line(f"{name}_memory", _resident_mebibytes() - before, "MiB more")


def _recompute(count: int) -> None:
    for _batch in range(count // BATCH_SIZE):
        recompute_next(now=clock.now(), keyring=None)


def _resident_mebibytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MEBIBYTE
