"""Rules and limits: made, changed and retired by the right person, contradictions refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from accounts.models import Controller, Purpose, User
from accounts.roles import Role
from audit.models import Event
from audit.operations import AuditUnavailable
from retention.drafts import Draft
from retention.models import PurposeLimit, Recomputation, RetentionRule, RuleVersion
from retention.operations import enacting
from retention.operations.rules import (
    NothingChanged,
    RuleChangedMeanwhile,
    RuleNotInForce,
    RuleRefused,
    count_affected,
)
from retention.permissions import NotEntitled
from tests.retention.enacting import change_rule, create_rule, retire_rule, set_limit
from tests.retention.retention_factories import (
    NOW,
    draft,
    make_controller,
    make_conversation,
    make_limit,
    make_purpose,
    make_queue,
    make_source,
    make_team,
    make_user,
)

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def vakka():
    return make_controller("Vakka")


@pytest.fixture
def coaching():
    return make_purpose("coaching")


@pytest.fixture
def officer(vakka):
    return make_user("Olga Officer", Role.COMPLIANCE_OFFICER, vakka)


@pytest.fixture
def make(vakka, coaching, officer):
    """Make a rule of Vakka's for coaching, as Olga."""

    def deed(name="Coaching calls", **says):
        return create_rule(
            controller=vakka,
            purpose=coaching,
            name=name,
            draft=draft(**says),
            user=says.pop("user", officer),
            now=NOW,
        )

    return deed


def sentences(refusal: pytest.ExceptionInfo[RuleRefused]) -> str:
    return " ".join(str(problem.sentence) for problem in refusal.value.problems)


class TestCreateRule:
    def test_makes_the_first_version_and_has_uses_computed_anew(self, make, vakka, officer):
        version = make(months=6)

        event = Event.objects.get(event_type="rule.created")
        assert (version.number, version.in_force_from, version.created_by) == (1, NOW, officer)
        assert RuleVersion.objects.in_force(at=NOW).get() == version
        assert Recomputation.objects.open().get().controller == vakka
        assert version.approved_by is not None
        assert (event.actor, event.target, event.log) == (
            str(version.approved_by.reference),
            str(version.rule_id),
            str(vakka.pk),
        )

    def test_refuses_every_other_role(self, vakka, coaching):
        for role in [Role.DATA_PROTECTION_OFFICER, Role.COACH, Role.ADMINISTRATOR, None]:
            outsider = make_user("Charlie", role, vakka)
            with pytest.raises(NotEntitled):
                create_rule(
                    controller=vakka,
                    purpose=coaching,
                    name="Mine",
                    draft=draft(),
                    user=outsider,
                    now=NOW,
                )

        assert not RetentionRule.objects.exists()

    def test_refuses_the_compliance_officer_of_another_company(self, vakka, coaching):
        other = make_controller("Toinen")
        stranger = make_user("Bob", Role.COMPLIANCE_OFFICER, other)

        with pytest.raises(NotEntitled):
            create_rule(
                controller=vakka,
                purpose=coaching,
                name="Mine",
                draft=draft(),
                user=stranger,
                now=NOW,
            )

    def test_refuses_a_name_that_is_taken_and_says_by_which_rule(self, make):
        make(name="Coaching calls")

        with pytest.raises(RuleRefused) as refusal:
            make(name=" coaching CALLS")

        assert refusal.value.problems[0].field == "name"
        assert "Coaching calls" in sentences(refusal)

    def test_refuses_longer_than_the_ceiling_and_says_what_it_rests_on(self, make, vakka, coaching):
        make_limit(vakka, coaching, floor=None, ceiling=24)

        with pytest.raises(RuleRefused) as refusal:
            make(months=24, days=1)

        assert refusal.value.problems[0].field == "keep_months"
        assert "24" in sentences(refusal)
        assert "Act 1/2020" in sentences(refusal)

    def test_refuses_shorter_than_the_floor(self, make, vakka, coaching):
        make_limit(vakka, coaching, floor=12, ceiling=None)

        with pytest.raises(RuleRefused):
            make(months=0, days=364)

    def test_takes_what_equals_floor_and_ceiling(self, make, vakka, coaching):
        make_limit(vakka, coaching, floor=12, ceiling=12)

        assert make(months=12).number == 1

    def test_refuses_what_makes_no_rule(self, make):
        refused: list[tuple[dict[str, Any], str]] = [
            ({"legal_basis": ""}, "legal_basis"),
            ({"legal_basis": "6.1.z"}, "legal_basis"),
            ({"months": 0}, "keep_months"),
            ({"months": -1}, "keep_months"),
            ({"months": 1201}, "keep_months"),
            ({"days": 4000}, "keep_days"),
            ({"teams": [uuid4()]}, "teams"),
            ({"queues": [uuid4()]}, "queues"),
            ({"kinds": ["fax"]}, "kinds"),
            ({"directions": ("sideways",)}, "directions"),
            ({"outcomes": ("Sale",)}, "outcomes"),
            ({"languages": ("finnish please",)}, "languages"),
            ({"tags": ("",)}, "tags"),
            ({"tags": ("a\x00b",)}, "tags"),
            ({"tags": tuple(map(str, range(51)))}, "tags"),
            ({"shortest_seconds": 61, "longest_seconds": 60}, "longest_seconds"),
            ({"shortest_seconds": -1}, "shortest_seconds"),
            ({"trigger": "claim.opened"}, "trigger"),
            ({"cap_months": 12}, "cap_months"),
            ({"trigger": "claim.closed"}, "cap_months"),
            ({"trigger": "claim.closed", "cap_months": 0}, "cap_months"),
            ({"trigger": "claim.closed", "cap_months": 5}, "cap_months"),
            ({"is_exclusion": True}, "is_exclusion"),
            ({"is_exclusion": True, "months": 0, "trigger": "claim.closed"}, "trigger"),
        ]

        for says, field in refused:
            with pytest.raises(RuleRefused) as refusal:
                make(**says)
            assert field in [problem.field for problem in refusal.value.problems]

        assert not RetentionRule.objects.exists()

    def test_holds_the_cap_of_an_event_against_the_ceiling(self, make, vakka, coaching, officer):
        by_claim: dict[str, Any] = {"trigger": "claim.closed", "cap_months": 25}
        make(name="Long", **by_claim)

        with pytest.raises(RuleRefused) as refused:
            set_limit(
                controller=vakka,
                purpose=coaching,
                floor_months=None,
                ceiling_months=24,
                source="Board",
                user=officer,
                now=NOW,
            )
        make_limit(vakka, coaching, floor=None, ceiling=24)
        with pytest.raises(RuleRefused) as refusal:
            make(name="Longer", **by_claim)

        assert "Long" in sentences(refused)
        assert refusal.value.problems[0].field == "cap_months"
        assert make(name="Fits", **{**by_claim, "cap_months": 24}).cap_months == 24

    def test_the_database_refuses_an_event_without_a_cap_and_a_rule_without_a_basis(self, make):
        version = make()

        for change in ({"trigger": "claim.closed"}, {"cap_months": 5}, {"legal_basis": ""}):
            with pytest.raises(IntegrityError), transaction.atomic():
                RuleVersion.objects.filter(pk=version.pk).update(**change)

    def test_an_exclusion_is_made_without_time_or_basis_under_a_floor(self, make, vakka, coaching):
        make_limit(vakka, coaching, floor=12, ceiling=24)

        version = make(months=0, legal_basis="", is_exclusion=True, tags=("whistle",))

        event = Event.objects.get(event_type="rule.created")
        assert version.is_exclusion
        assert '"kind":"exclusion"' in event.body
        assert "legal_basis" not in event.body

    def test_refuses_the_queue_of_another_company(self, make):
        queue = make_queue(make_controller("Toinen"))

        with pytest.raises(RuleRefused) as refusal:
            make(queues=[queue.pk])

        assert refusal.value.problems[0].field == "queues"

    def test_refuses_a_health_queue_without_a_condition_and_names_it(self, make, vakka):
        queue = make_queue(vakka, "Nurse line", holds_health_data=True)

        with pytest.raises(RuleRefused) as refusal:
            make(queues=[queue.pk])

        assert refusal.value.problems[0].field == "article_9_condition"
        assert "Nurse line" in sentences(refusal)
        assert make(queues=[queue.pk], article_9_condition="9(2)(f)").number == 1

    def test_says_every_problem_at_once(self, make):
        with pytest.raises(RuleRefused) as refusal:
            make(name="", months=0, legal_basis="")

        assert {problem.field for problem in refusal.value.problems} == {
            "name",
            "keep_months",
            "legal_basis",
        }

    def test_makes_nothing_when_the_audit_log_is_down(self, make, monkeypatch):
        def down(**_):
            raise DatabaseError

        monkeypatch.setattr(enacting, "append", down)

        with pytest.raises((DatabaseError, AuditUnavailable)):
            make()

        assert not RetentionRule.objects.exists()


class TestChangeRule:
    def test_adds_a_version_and_says_what_changed(self, make, officer):
        first = make(months=6)

        second = change_rule(
            rule=first.rule, draft=draft(months=9), based_on=1, user=officer, now=LATER
        )

        assert second.number == 2
        assert RuleVersion.objects.in_force(at=NOW).get() == first
        assert RuleVersion.objects.in_force(at=LATER).get() == second
        assert '"changed":["keep_months"]' in Event.objects.get(event_type="rule.changed").body

    def test_refuses_an_outsider(self, make, vakka):
        first = make()
        coach = make_user("Charlie", Role.COACH, vakka)

        with pytest.raises(NotEntitled):
            change_rule(rule=first.rule, draft=draft(months=1), based_on=1, user=coach, now=LATER)

        assert first.rule.versions.count() == 1

    def test_refuses_when_somebody_else_was_faster(self, make, officer):
        first = make()
        change_rule(rule=first.rule, draft=draft(months=9), based_on=1, user=officer, now=LATER)

        with pytest.raises(RuleChangedMeanwhile):
            change_rule(
                rule=first.rule, draft=draft(months=12), based_on=1, user=officer, now=LATER
            )

    def test_the_same_again_changes_nothing(self, make, officer, vakka):
        teams = [make_team(vakka, "A").pk, make_team(vakka, "B").pk]
        first = make(teams=teams)

        with pytest.raises(NothingChanged):
            change_rule(
                rule=first.rule,
                draft=draft(teams=teams[::-1]),
                based_on=1,
                user=officer,
                now=LATER,
            )

    def test_refuses_to_change_what_is_retired(self, make, officer):
        first = make()
        retire_rule(rule=first.rule, based_on=1, user=officer, now=NOW)

        with pytest.raises(RuleNotInForce):
            change_rule(rule=first.rule, draft=draft(months=9), based_on=2, user=officer, now=LATER)

    def test_asks_the_limits_again(self, make, officer, vakka, coaching):
        first = make(months=6)
        make_limit(vakka, coaching, floor=None, ceiling=6)

        with pytest.raises(RuleRefused):
            change_rule(rule=first.rule, draft=draft(months=7), based_on=1, user=officer, now=LATER)


class TestRetireRule:
    def test_makes_it_match_nothing_from_now_on(self, make, officer):
        first = make()

        last = retire_rule(rule=first.rule, based_on=1, user=officer, now=LATER)

        assert last.is_retired
        assert not RuleVersion.objects.in_force(at=LATER).exists()
        assert Event.objects.filter(event_type="rule.retired").count() == 1

    def test_a_second_time_is_refused(self, make, officer):
        first = make()
        retire_rule(rule=first.rule, based_on=1, user=officer, now=LATER)

        with pytest.raises(RuleNotInForce):
            retire_rule(rule=first.rule, based_on=2, user=officer, now=LATER)


class TestSetLimit:
    def set(
        self,
        vakka: Controller,
        coaching: Purpose,
        officer: User,
        floor: int | None,
        ceiling: int | None,
        source: str = "Act 1/2020",
    ) -> PurposeLimit:
        return set_limit(
            controller=vakka,
            purpose=coaching,
            floor_months=floor,
            ceiling_months=ceiling,
            source=source,
            user=officer,
            now=NOW,
        )

    def test_what_is_set_again_follows_what_was_set(self, vakka, coaching, officer):
        self.set(vakka, coaching, officer, 6, 12)
        self.set(vakka, coaching, officer, None, 24)

        limit = PurposeLimit.objects.in_force(at=NOW).get()
        assert (limit.number, limit.floor_months, limit.ceiling_months) == (2, None, 24)
        assert Event.objects.filter(event_type="purpose_limit.changed").count() == 2

    def test_refuses_a_floor_above_the_ceiling(self, vakka, coaching, officer):
        with pytest.raises(RuleRefused) as refusal:
            self.set(vakka, coaching, officer, 13, 12)

        assert refusal.value.problems[0].field == "floor_months"

    @pytest.mark.parametrize(("floor", "ceiling"), [(7, None), (None, 5)])
    def test_refuses_what_a_rule_contradicts_and_names_it(
        self, make, vakka, coaching, officer, floor, ceiling
    ):
        make(name="Coaching calls", months=6)

        with pytest.raises(RuleRefused) as refusal:
            self.set(vakka, coaching, officer, floor, ceiling)

        assert "Coaching calls" in sentences(refusal)
        assert not PurposeLimit.objects.exists()

    def test_asks_what_it_rests_on(self, vakka, coaching, officer):
        with pytest.raises(RuleRefused):
            self.set(vakka, coaching, officer, 1, 2, source=" ")

    def test_refuses_an_outsider(self, vakka, coaching):
        with pytest.raises(NotEntitled):
            self.set(vakka, coaching, make_user("Charlie", Role.COACH, vakka), 1, 2)


class TestCountAffected:
    def test_counts_what_the_old_or_the_new_version_speaks_of(self, make, vakka, coaching):
        source = make_source(vakka)
        claims, sales = make_team(vakka, "Claims"), make_team(vakka, "Sales")
        make_conversation(source, stretches=[(claims, None), (claims, None)])
        make_conversation(source, stretches=[(sales, None)])
        make_conversation(source, stretches=[(sales, None)], kind="chat")
        old = make(teams=[claims.pk])

        def count(old: RuleVersion | None, new: Draft | None) -> int:
            return count_affected(controller=vakka, purpose=coaching, draft=new, old=old)

        assert count(old, None) == 1
        assert count(old, draft(teams=[sales.pk], kinds=["chat"])) == 2
        assert count(old, draft()) == 3
        assert count(None, draft(kinds=["call"])) == 2
