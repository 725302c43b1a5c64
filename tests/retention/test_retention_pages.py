"""Who may open the pages; those of rules and of single conversations."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from django.test import Client
from django.urls import reverse

from accounts.models import Controller, PrivacyNotice, Purpose
from accounts.roles import Role
from audit import clock
from audit.models import Event
from recordings.models import Conversation
from retention.drafts import Draft
from retention.models import (
    Hold,
    Proposal,
    PurposeLimit,
    Recomputation,
    RetentionRule,
    RuleVersion,
)
from retention.operations.proposals import approve
from retention.operations.proposing import Intent
from retention.operations.rules import propose_change
from tests import factories
from tests.harness.visitors import Visitor
from tests.retention.enacting import second_officer

NOBODY = uuid4()


def new_rule(controller: Controller, purpose: Purpose, **says: Any) -> dict[str, Any]:
    """What the form of a new rule sends."""
    return {
        "name": "Evidence",
        "controller": controller.pk,
        "purpose": purpose.pk,
        "keep_months": 24,
        "keep_days": 0,
        "legal_basis": "6.1.c",
        "reason": "The board decided it.",
        **says,
    }


def proposed(centre: factories.Centre, *, months: int = 3) -> Proposal:
    """A shortening of Vakka's rule that Olga proposed."""
    rule = RetentionRule.objects.get(controller=centre.vakka)
    return propose_change(
        rule=rule,
        draft=Draft(keep_months=months, keep_days=0, legal_basis="6.1.f"),
        based_on=1,
        intent=Intent("Six are too long."),
        user=centre.olga,
        now=clock.now(),
    )


def agree(proposal: Proposal) -> None:
    """Have a second person approve it."""
    assert proposal.controller is not None
    second = second_officer(proposal.controller)
    approve(proposal_id=proposal.pk, reason="Agreed.", user=second, now=clock.now())


def refusals(page: str) -> int:
    return sum(
        f'"page":"{page}"' in body
        for body in Event.objects.filter(event_type="page.refused").values_list("body", flat=True)
    )


def messages(visitor: Visitor, path: str) -> list[str]:
    """What the next page says above its content."""
    return re.findall(r'class="notice (?:success|error|info)">([^<]*)', visitor.get(path).text)


class TestWhoMay:
    def test_a_coach_is_refused_every_page_and_the_log_says_so(self, centre, alice):
        pages = {
            "rules": [],
            "rule_new": [],
            "limit_set": [],
            "notice_new": [],
            "rule_change": [NOBODY],
            "rule_retire": [NOBODY],
            "proposal": [NOBODY],
            "proposal_approve": [NOBODY],
            "proposal_refuse": [NOBODY],
            "proposal_take_back": [NOBODY],
            "source_release": [NOBODY],
            "rules_release": [NOBODY],
            "run_release": [NOBODY],
            "matters": [],
            "matter_new": [],
            "matter": [NOBODY],
            "matter_close": [NOBODY],
            "hold_lift": [NOBODY],
            "hold_place_on": [NOBODY],
            "purge_runs": [],
            "purge_run": [NOBODY],
            "purge_run_progress": [NOBODY],
            "certificate": [NOBODY],
            "certificate_file": [NOBODY],
            "simulation": [NOBODY],
            "simulation_progress": [NOBODY],
            "attention": [],
            "uncovered": [],
            "undecided_conversation": [NOBODY],
            "undecided_item": [NOBODY],
            "explain": [NOBODY],
        }

        for name, arguments in pages.items():
            answer = alice.get(reverse(f"retention:{name}", args=arguments))
            assert answer.status == 404, name
            assert refusals(f"retention:{name}") == 1, name

    def test_another_companys_rows_are_404_and_the_log_of_that_company_says_so(self, centre, olli):
        conversation = centre.call()
        matter = centre.matter_of(conversation)
        rule = RetentionRule.objects.get(controller=centre.vakka)
        hold = Hold.objects.get()
        proposal = proposed(centre)

        for name, pk in {
            "proposal": proposal.pk,
            "proposal_approve": proposal.pk,
            "proposal_refuse": proposal.pk,
            "proposal_take_back": proposal.pk,
            "source_release": centre.pbx.pk,
            "rules_release": centre.vakka.pk,
            "rule_change": rule.pk,
            "rule_retire": rule.pk,
            "matter": matter.pk,
            "matter_close": matter.pk,
            "hold_lift": hold.pk,
            "hold_place_on": conversation.pk,
            "explain": conversation.pk,
        }.items():
            assert olli.get(reverse(f"retention:{name}", args=[pk])).status == 404, name

        refused = Event.objects.filter(event_type="page.refused")
        assert set(refused.values_list("log", flat=True)) == {str(centre.vakka.pk)}
        assert refused.count() == 13
        assert rule.name not in olli.get(reverse("retention:matters")).text
        assert matter.name not in olli.get(reverse("retention:matters")).text

    def test_the_data_protection_officer_sees_and_changes_nothing(self, centre, at_browser):
        person = factories.person("Dagmar Dpo")
        factories.give_role(person, Role.DATA_PROTECTION_OFFICER, None)
        dagmar = at_browser(person)

        seen = dagmar.get(reverse("retention:rules"))

        assert seen.status == 200
        assert reverse("retention:rule_new") not in seen.text
        assert dagmar.get(reverse("retention:rule_new")).status == 404
        assert dagmar.post(reverse("retention:rule_new"), {}).status == 404


class TestRulePages:
    def test_a_rule_is_confirmed_proposed_and_approved_by_another_and_then_in_force(
        self, centre, olga, at_browser
    ):
        centre.call()
        evidence = factories.purpose("evidence")
        path = reverse("retention:rule_new")
        filled_in = new_rule(centre.vakka, evidence, teams=[centre.claims.pk], kinds=["call"])

        asked = olga.post(path, filled_in)
        before = RetentionRule.objects.filter(purpose=evidence).count()
        done = olga.post(path, {**filled_in, "confirmed": "yes"})
        proposal = Proposal.objects.open().get()
        sanna = at_browser(second_officer(centre.vakka))
        page = sanna.get(reverse("retention:proposal", args=[proposal.pk]))
        agreed = sanna.post(
            reverse("retention:proposal_approve", args=[proposal.pk]), {"reason": "I agree."}
        )

        version = RuleVersion.objects.get(rule__purpose=evidence)
        assert (asked.status, before, done.status) == (200, 0, 302)
        assert "Nothing ends earlier by it." in page.text
        assert (agreed.status, version.approved_by) == (302, sanna.user)
        assert "1 kept conversation is affected." in asked.text
        assert asked.text.count('name="teams"') == 1
        assert (version.teams, version.kinds) == ([centre.claims.pk], ["call"])
        assert (version.keep_months, version.created_by) == (24, centre.olga)
        assert (
            "Conversations of Vakka are covered anew" in olga.get(reverse("retention:rules")).text
        )

    def test_a_contradiction_stands_beside_its_field(self, centre, olga):
        evidence = factories.purpose("evidence")
        PurposeLimit.objects.create(
            controller=centre.vakka,
            purpose=evidence,
            number=1,
            in_force_from=factories.LONG_AGO,
            created_at=factories.LONG_AGO,
            ceiling_months=12,
            source="Act 1/2020",
        )

        answer = olga.post(reverse("retention:rule_new"), new_rule(centre.vakka, evidence))

        assert answer.status == 422
        assert 'aria-describedby="id_keep_months_error"' in answer.text
        assert "Act 1/2020" in answer.text

    def test_a_change_is_proposed_once(self, centre, olga):
        rule = RetentionRule.objects.get(controller=centre.vakka)
        path = reverse("retention:rule_change", args=[rule.pk])
        filled_in = {
            "keep_months": 3,
            "keep_days": 0,
            "legal_basis": "6.1.f",
            "based_on": 1,
            "reason": "Six are too long.",
            "confirmed": "yes",
        }

        assert 'value="6"' in olga.get(path).text
        assert olga.post(path, filled_in).status == 302
        again = olga.post(path, filled_in)

        assert rule.versions.count() == 1
        assert again.status == 422
        assert "Another proposal about this awaits a second person" in again.text

    def test_a_rule_says_all_it_can_and_keeps_it_when_it_is_changed(self, centre, olga):
        claims = factories.purpose("claims")
        said: dict[str, Any] = {
            "directions": ["inbound"],
            "shortest_seconds": 30,
            "longest_seconds": 600,
            "outcomes": "sale, no-answer",
            "languages": "sv,fi",
            "tags": "complaint,  very angry ",
            "trigger": "claim.closed",
            "cap_months": 60,
            "statute": "Act 1/2020",
        }
        filled_in = new_rule(centre.vakka, claims, **said)

        asked = olga.post(reverse("retention:rule_new"), filled_in)
        done = olga.post(reverse("retention:rule_new"), {**filled_in, "confirmed": "yes"})
        proposal = Proposal.objects.open().get()
        proposed_page = olga.get(reverse("retention:proposal", args=[proposal.pk])).text
        agree(proposal)

        version = RuleVersion.objects.get(rule__purpose=claims)
        assert (asked.status, done.status) == (200, 302)
        assert "24 months from: Closing of the claim, at most 60 months" in proposed_page
        assert "tags: complaint, very angry" in proposed_page
        assert "Act 1/2020" in proposed_page
        assert (version.outcomes, version.languages) == (["sale", "no-answer"], ["sv", "fi"])
        assert version.tags == ["complaint", "very angry"]
        assert (version.trigger, version.cap_months) == ("claim.closed", 60)
        page = olga.get(reverse("retention:rule_change", args=[version.rule_id])).text
        assert 'value="sale, no-answer"' in page
        assert "<details open>" in page
        assert "24 months from: Closing of the claim, at most 60 months" in page
        assert "From the customer · 30 to 600 s · outcome: sale, no-answer" in page

    def test_a_template_that_counts_from_an_event_fills_in_its_cap(self, centre, olga):
        page = olga.get(f"{reverse('retention:rule_new')}?start=claims").text

        assert '<option value="claim.closed" selected>' in page
        assert 'name="cap_months" value="120"' in page

    def test_an_exclusion_needs_no_time_and_no_basis(self, centre, olga):
        evidence = factories.purpose("evidence")
        filled_in = new_rule(centre.vakka, evidence, is_exclusion="on", legal_basis="")

        asked = olga.post(reverse("retention:rule_new"), filled_in)
        done = olga.post(reverse("retention:rule_new"), {**filled_in, "confirmed": "yes"})
        agree(Proposal.objects.open().get())

        version = RuleVersion.objects.get(rule__purpose=evidence)
        assert done.status == 302
        assert "it takes effect 7 days after its approval" in asked.text
        assert version.is_shortening
        assert (version.is_exclusion, version.keep_months, version.legal_basis) == (True, 0, "")
        assert "Excluded: never used for this purpose" in olga.get(reverse("retention:rules")).text

    def test_a_privacy_notice_is_recorded_once_and_listed(self, centre, olga):
        path = reverse("retention:notice_new")
        notice = {
            "controller": centre.vakka.pk,
            "version": "2026-05",
            "in_force_from": "2026-05-01",
            "months_coaching": 6,
        }

        done = olga.post(path, notice)
        again = olga.post(path, notice)

        row = PrivacyNotice.objects.get()
        assert (done.status, again.status) == (302, 422)
        assert row.in_force_from == datetime(2026, 4, 30, 21, 0, tzinfo=UTC)
        assert row.times.get().months == 6
        assert "2026-05" in olga.get(reverse("retention:rules")).text

    def test_retiring_asks_first(self, centre, olga):
        rule = RetentionRule.objects.get(controller=centre.vakka)
        path = reverse("retention:rule_retire", args=[rule.pk])

        asked = olga.get(path)
        silent = olga.post(path, {"based_on": 1})
        done = olga.post(path, {"based_on": 1, "reason": "Nobody coaches any more."})

        assert "0 kept conversations are affected." in asked.text
        assert "it takes effect 7 days after its approval" in asked.text
        assert (silent.status, done.status) == (422, 302)
        assert Proposal.objects.open().get().rule == rule
        assert messages(olga, reverse("retention:rules"))

    def test_a_limit_that_a_rule_contradicts_is_refused_and_names_it(self, centre, olga):
        rule = RetentionRule.objects.get(controller=centre.vakka)
        path = reverse("retention:limit_set")
        limit = {
            "controller": centre.vakka.pk,
            "purpose": centre.coaching.pk,
            "ceiling_months": 3,
            "source": "Board, 1 June 2026",
            "reason": "The board decided it.",
        }

        refused = olga.post(path, limit)
        done = olga.post(path, {**limit, "ceiling_months": 12})

        assert refused.status == 422
        assert rule.name in refused.text
        assert done.status == 302
        assert Proposal.objects.open().get().terms["ceiling_months"] == 12

    def test_nothing_changes_without_the_token_of_the_form(self, centre, stage):
        strict = Visitor(stage, centre.olga, Client(enforce_csrf_checks=True))

        answer = strict.post(
            reverse("retention:rule_new"),
            new_rule(centre.vakka, centre.coaching, confirmed="yes"),
        )

        assert answer.status == 403
        assert RetentionRule.objects.filter(name="Evidence").count() == 0

    def test_progress_of_covering_anew_goes_when_it_is_done(self, centre, olga):
        Recomputation.objects.update(finished_at=clock.now())

        piece = olga.get(reverse("retention:rules"), headers={"HX-Request": "true"})

        assert "All conversations are covered by the rules in force." in piece.text


class TestConversationPages:
    def test_explains_and_writes_that_it_was_asked(self, centre, olga):
        conversation = centre.call()

        page = olga.get(reverse("retention:explain", args=[conversation.pk]))

        rule = RetentionRule.objects.get(controller=centre.vakka)
        assert page.status == 200
        assert rule.name in page.text
        assert "Alice Aalto" in page.text
        assert "Dora Dahl" not in page.text
        assert Event.objects.filter(event_type="conversation.explained").count() == 1

    def test_shows_what_no_rule_covers_in_red_with_the_day_to_decide(self, centre, olga):
        covered = centre.call()
        Conversation.objects.filter(pk=covered.pk).update(destroy_after=None)

        page = olga.get(reverse("retention:uncovered"))

        assert str(covered.pk) in page.text
        assert "1 conversation waits" in page.text
        assert "1 conversation matches no rule." in olga.get(reverse("retention:rules")).text

    def test_speaks_of_no_other_companys(self, centre, olli):
        conversation = centre.call()
        Conversation.objects.filter(pk=conversation.pk).update(destroy_after=None)

        assert str(conversation.pk) not in olli.get(reverse("retention:uncovered")).text


def test_an_unknown_conversation_is_404(centre, olga):
    path = reverse("retention:explain", args=[UUID(int=1)])

    assert olga.get(path).status == 404
