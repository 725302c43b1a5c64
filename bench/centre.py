"""The contact centre of the benchmarks: forty teams, and readers of some, one or all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from accounts.models import Controller, Purpose, Source, Team, UndertakingText, User
from accounts.operations import accept_undertaking, assign_role, grant_team
from accounts.roles import Role
from audit import clock
from audit.events import Actor
from audit.operations import open_log
from bench.stage import Stage
from retention.drafts import Draft
from retention.operations.set_up import put_rule_in_force

ACTOR = Actor.system("bench")
TEAMS = 40
# Spread over the forty; neither the first nor the last made.
FIVE_TEAMS = (3, 11, 19, 27, 35)
YEAR = timedelta(days=365)
KEEP_MONTHS = 13


@dataclass(frozen=True, slots=True)
class Centre:
    """
    One company. Its last team has only old conversations, see `bench.rows`.

    Every reader is a coach who has undertaken to keep silent; they differ in their teams alone.
    """

    stage: Stage
    controller: Controller
    source: Source
    coaching: Purpose
    rule_version: UUID
    teams: list[Team]
    reader_of_five: User
    reader_of_all: User
    reader_of_old: User

    @property
    def five_teams(self) -> list[Team]:
        """The teams of the reader of five."""
        return [self.teams[place] for place in FIVE_TEAMS]


def make_centre(stage: Stage) -> Centre:
    """Build it, as the owner."""
    now = clock.now()
    open_log(log=None)
    controller = Controller.objects.create(name="Vakka", slug="vakka", rules_released_at=now)
    open_log(log=controller.pk)
    teams = Team.objects.bulk_create(
        Team(name=f"Team {number:02}", slug=f"team-{number:02}", employer=controller)
        for number in range(TEAMS)
    )
    source = Source.objects.create(
        name="Exchange", slug="exchange", controller=controller, released_at=now
    )
    coaching = Purpose.objects.create(
        code="coaching", name_fi="Valmennus", name_sv="Coachning", name_en="Coaching"
    )
    text = "I keep secret what I hear."
    UndertakingText.objects.create(
        version=1, text_fi=text, text_sv=text, text_en=text, in_force_from=now - YEAR
    )
    readers = {
        "five": [teams[place] for place in FIVE_TEAMS],
        "all": teams,
        "old": teams[-1:],
    }
    made = {
        name: _reader(name, hears=hears, controller=controller, coaching=coaching)
        for name, hears in readers.items()
    }
    version = put_rule_in_force(
        controller=controller,
        purpose=coaching,
        name="Coaching",
        draft=Draft(keep_months=KEEP_MONTHS, keep_days=0, legal_basis="6.1.f", queues=()),
        now=clock.now(),
    )
    return Centre(
        stage=stage,
        controller=controller,
        source=source,
        coaching=coaching,
        rule_version=version.pk,
        teams=teams,
        reader_of_five=made["five"],
        reader_of_all=made["all"],
        reader_of_old=made["old"],
    )


def _reader(name: str, *, hears: Iterable[Team], controller: Controller, coaching: Purpose) -> User:
    user = User.objects.create_user(
        f"{name}@example.com", full_name=f"Reader of {name}", employer=controller, language="en"
    )
    now = clock.now()
    until_at = now + YEAR
    assign_role(
        user=user, role=Role.COACH, controller=None, until_at=until_at, actor=ACTOR, now=now
    )
    for team in hears:
        grant_team(
            user=user,
            team=team,
            purpose=coaching,
            until_at=until_at,
            reason="She coaches the team.",
            actor=ACTOR,
            now=now,
        )
    accept_undertaking(user=user, version=1, now=now)
    return user
