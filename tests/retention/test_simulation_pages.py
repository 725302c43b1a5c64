"""Before anything is proposed its effect is seen: the button on the forms, progress, the result."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.urls import reverse

from accounts.roles import Role
from audit import clock
from audit.models import Event
from retention.models import PurposeLimit, RetentionRule, RuleVersion, Simulation
from retention.operations.proposals import approve
from retention.operations.proposing import Intent
from retention.operations.rules import (
    propose_change,
    propose_limit,
    propose_retirement,
    propose_rule,
)
from retention.operations.simulate import run_next, simulate_proposal
from tests import factories
from tests.retention.enacting import second_officer
from tests.retention.retention_factories import draft
from tests.retention.simulated import simulated


def page_of(simulation: Simulation, name: str = "simulation") -> str:
    return reverse(f"retention:{name}", args=[simulation.pk])


@pytest.fixture
def rule(centre):
    return RetentionRule.objects.get(controller=centre.vakka)


class TestSimulating:
    def test_from_the_form_to_the_result_and_nothing_is_changed(self, centre, olga, rule):
        old = centre.call(ended_at=clock.now() - timedelta(days=100))
        centre.matter_of(centre.call(ended_at=clock.now() - timedelta(days=101)))
        path = reverse("retention:rule_change", args=[rule.pk])
        says = {"keep_months": 1, "keep_days": 0, "legal_basis": "6.1.f", "based_on": 1}

        asked = olga.post(path, says | {"simulate": "yes"})
        simulation = Simulation.objects.get()
        waiting = olga.get(page_of(simulation)).text
        with centre.stage.acting_as("work"):
            assert run_next(clock=clock.now)
        done = olga.get(page_of(simulation)).text
        piece = olga.get(page_of(simulation, "simulation_progress"), headers={"HX-Request": "true"})

        assert (asked.status, asked.headers["Location"]) == (302, page_of(simulation))
        assert f'hx-get="{page_of(simulation, "simulation_progress")}"' in waiting
        assert "0 of 0 conversations counted" in waiting
        assert "hx-get" not in done
        assert "1 conversation would be destroyed by the next purge run." in done
        assert "Left alone: 1 held" in done
        assert 'class="old"' in done
        assert 'class="new"' in done
        assert str(old.pk) in done
        assert "A dispute" in done
        assert "Claims" in done
        assert "The simulation is finished." in piece.text
        assert rule.versions.count() == 1
        assert Event.objects.filter(event_type="simulation.requested").count() == 1
        assert Event.objects.filter(event_type="simulation.viewed").count() == 2

    def test_retiring_and_limits_can_be_simulated_too(self, centre, olga, rule):
        limit = {
            "controller": centre.vakka.pk,
            "purpose": centre.coaching.pk,
            "ceiling_months": 7,
            "source": "Board, 1 June 2026",
            "simulate": "yes",
        }

        retired = olga.post(reverse("retention:rule_retire", args=[rule.pk]), {"simulate": "yes"})
        bounded = olga.post(reverse("retention:limit_set"), limit)
        refused = olga.post(reverse("retention:limit_set"), limit | {"ceiling_months": 3})

        assert (retired.status, bounded.status, refused.status) == (302, 302, 422)
        assert Simulation.objects.count() == 2
        assert not PurposeLimit.objects.exists()
        assert not RuleVersion.objects.filter(is_retired=True).exists()

    def test_what_is_proposed_is_simulated_on_its_page_and_both_persons_see_it(
        self, centre, olga, rule, at_browser
    ):
        centre.call(ended_at=clock.now() - timedelta(days=100))
        proposal = propose_change(
            rule=rule,
            draft=draft(months=1),
            based_on=1,
            intent=Intent("The board decided it."),
            user=centre.olga,
            now=clock.now(),
        )
        page = reverse("retention:proposal", args=[proposal.pk])
        sanna = at_browser(second_officer(centre.vakka))

        before = olga.get(page).text
        asked = olga.post(reverse("retention:proposal_simulate", args=[proposal.pk]))
        waiting = sanna.get(page).text
        with centre.stage.acting_as("work"):
            assert run_next(clock=clock.now)
        seen = [one.get(page).text for one in (olga, sanna)]

        assert "Simulate again" not in before
        assert (asked.status, asked.headers["Location"]) == (302, page)
        assert "It waits for a worker." in waiting
        assert all("1 conversation would be destroyed" in text for text in seen)
        assert "Approve…" in seen[1]
        approve(proposal_id=proposal.pk, reason="So be it.", user=sanna.user, now=clock.now())
        olga.post(reverse("retention:proposal_simulate", args=[proposal.pk]))
        assert Simulation.objects.count() == 1

    @pytest.mark.parametrize("deed", ["create", "retire", "limit"])
    def test_everything_proposed_can_be_simulated(self, centre, rule, deed):
        told = {"user": centre.olga, "now": clock.now(), "intent": Intent("The board decided it.")}
        of = {"controller": centre.vakka, "purpose": factories.purpose("evidence")}
        if deed == "create":
            proposal = propose_rule(name="New", draft=draft(months=7), **of, **told)
        elif deed == "retire":
            proposal = propose_retirement(rule=rule, based_on=1, **told)
        else:
            proposal = propose_limit(
                floor_months=6, ceiling_months=None, source="Act 1/2020", **of, **told
            )
        centre.call()

        row = simulate_proposal(proposal=proposal, user=centre.olga, now=clock.now())
        assert run_next(clock=clock.now) == row.pk

        row.refresh_from_db()
        affected = json.loads(row.result)["all"]["affected"]
        assert (row.proposal, affected) == (proposal, 0 if deed == "limit" else 1)

    def test_long_times_are_shown_by_year(self, centre, olga):
        centre.call()

        long = simulated(centre.vakka, centre.coaching, centre.olga, days=3000)

        page = olga.get(page_of(long)).text
        assert '<th scope="row">2030</th>' in page

    def test_is_nobody_elses(self, centre, olli, alice, at_browser):
        mine = simulated(centre.vakka, centre.coaching, centre.olga)
        dagmar = factories.person("Dagmar Dpo")
        factories.give_role(dagmar, Role.DATA_PROTECTION_OFFICER, None)

        for name in ("simulation", "simulation_progress"):
            assert olli.get(page_of(mine, name)).status == 404
            assert alice.get(page_of(mine, name)).status == 404
            assert at_browser(dagmar).get(page_of(mine, name)).status == 200
