"""Every conversation can say why: rules, bounds, holds, people, and what became of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction
from django.utils import translation

from accounts.models import User
from accounts.roles import Role
from audit.events import Actor, EventType, Target
from audit.models import Event
from audit.operations import append
from recordings.models import Conversation
from retention.explaining import explanation_of, reach_of
from retention.explanation import Explanation, Next
from retention.matching import Bound, Mismatch
from retention.models import Destruction, Hold, Matter, PurgeRun, RuleVersion
from retention.operations import explain as explaining
from retention.operations.cover import cover
from retention.operations.explain import ConversationUnknown, explain
from retention.operations.notices import record_notice
from retention.wording import how_it_counts
from tests.retention.enacting import change_rule, create_rule
from tests.retention.retention_factories import (
    NOW,
    draft,
    let_hear,
    make_controller,
    make_conversation,
    make_limit,
    make_purpose,
    make_source,
    make_team,
    make_user,
)

pytestmark = pytest.mark.django_db
BEFORE = NOW - timedelta(days=30)
LATER = NOW + timedelta(days=10)


@pytest.fixture
def vakka():
    return make_controller("Vakka")


@pytest.fixture
def source(vakka):
    return make_source(vakka)


@pytest.fixture
def claims(vakka):
    return make_team(vakka)


@pytest.fixture
def officer(vakka):
    return make_user("Olga Officer", Role.COMPLIANCE_OFFICER, vakka)


@pytest.fixture
def rules(vakka, officer, claims):
    """Coaching for six months and for nine, evidence for two years floored at five."""

    def make(name: str, purpose: str, **says: Any) -> RuleVersion:
        return create_rule(
            controller=vakka,
            purpose=make_purpose(purpose),
            name=name,
            draft=draft(**says),
            user=officer,
            now=BEFORE,
        )

    made = {
        "short": make("Coaching, all", "coaching", months=6),
        "long": make("Coaching, claims", "coaching", months=9, teams=[claims.pk]),
        "evidence": make("Evidence", "evidence", months=24),
        "chats": make("Chats", "coaching", months=36, kinds=["chat"]),
    }
    make_limit(vakka, make_purpose("evidence"), floor=60, ceiling=84)
    return made


@pytest.fixture
def conversation(source, claims, rules):
    conversation = make_conversation(source, stretches=[(claims, None)])
    cover(conversation=conversation, now=NOW)
    return conversation


def answer(conversation: Conversation, at: datetime = NOW) -> Explanation:
    return explanation_of(Conversation.objects.get(pk=conversation.pk), at=at)


class TestExplain:
    def test_names_every_rule_that_matched_and_the_one_that_decides(self, conversation, rules):
        coaching, _evidence = answer(conversation).purposes

        assert [(rule.rule, rule.decides) for rule in coaching.rules] == [
            ("Coaching, claims", True),
            ("Coaching, all", False),
        ]
        assert coaching.rules[0].version_id == rules["long"].pk
        assert coaching.until_at == datetime(2027, 8, 20, 11, 32, tzinfo=UTC)

    def test_says_that_the_floor_moved_the_end(self, conversation):
        _coaching, evidence = answer(conversation).purposes

        assert evidence.bounded_by is Bound.FLOOR
        assert evidence.until_at == evidence.floor_at == datetime(2031, 11, 20, 12, 32, tzinfo=UTC)
        assert evidence.ceiling_at == datetime(2033, 11, 20, 12, 32, tzinfo=UTC)
        assert answer(conversation).destroy_after == evidence.until_at

    def test_names_the_rules_that_do_not_speak_of_it(self, conversation):
        (unmatched,) = answer(conversation).unmatched

        assert (unmatched.rule, unmatched.reason) == ("Chats", Mismatch.KIND)

    def test_the_same_rows_give_the_same_answer(self, conversation, officer):
        actor = Actor.system("explain")

        first = explain(conversation_id=conversation.pk, actor=actor, now=NOW)
        second = explain(conversation_id=conversation.pk, actor=actor, now=NOW)

        assert first == second
        assert json.dumps(first.as_json()) == json.dumps(second.as_json())

    def test_shows_a_change_of_rules_that_is_being_carried_through(
        self, conversation, rules, officer, claims
    ):
        change_rule(
            rule=rules["long"].rule,
            draft=draft(months=12, teams=[claims.pk]),
            based_on=1,
            user=officer,
            now=NOW,
        )

        coaching, _evidence = answer(conversation).purposes

        assert coaching.until_at == datetime(2027, 8, 20, 11, 32, tzinfo=UTC)
        assert coaching.computed_until_at == datetime(2027, 11, 20, 12, 32, tzinfo=UTC)

    def test_says_why_an_earlier_end_stays_and_replays_it_after_a_notice_came(
        self, conversation, rules, officer, vakka
    ):
        long = rules["long"]
        change_rule(
            rule=long.rule,
            draft=draft(months=12, teams=long.teams),
            based_on=1,
            user=officer,
            now=LATER,
        )
        before, *_rest = answer(conversation, LATER).purposes
        record_notice(
            controller=vakka,
            version="2026-01",
            in_force_from=BEFORE,
            months={make_purpose("coaching"): 12},
            user=officer,
            now=LATER + timedelta(days=1),
        )
        Conversation.objects.filter(pk=conversation.pk).update(notice="2026-01")

        replayed, *_rest = answer(conversation, LATER).purposes
        after, *_rest = answer(conversation, LATER + timedelta(days=1)).purposes

        assert before.computed_until_at == datetime(2027, 8, 20, 11, 32, tzinfo=UTC)
        assert before.rules[0].not_until == datetime(2027, 11, 20, 12, 32, tzinfo=UTC)
        assert replayed == before
        assert after.computed_until_at == datetime(2027, 11, 20, 12, 32, tzinfo=UTC)
        with translation.override("en"):
            assert any("earlier end stays" in piece for piece in how_it_counts(before.rules[0]))

    def test_names_an_exclusion(self, conversation, vakka, officer):
        create_rule(
            controller=vakka,
            purpose=make_purpose("coaching"),
            name="Never these",
            draft=draft(months=0, legal_basis="", is_exclusion=True),
            user=officer,
            now=LATER,
        )

        coaching, evidence = answer(conversation, LATER).purposes

        assert [(rule.rule, rule.excludes) for rule in coaching.rules][-1] == ("Never these", True)
        assert not any(rule.decides for rule in coaching.rules)
        assert coaching.computed_until_at is None
        assert evidence.computed_until_at is not None

    def test_writes_that_it_was_asked(self, conversation, officer):
        explain(conversation_id=conversation.pk, actor=Actor.system("explain"), now=NOW)

        event = Event.objects.get(event_type="conversation.explained")
        assert event.conversation == conversation.pk

    def test_tells_nothing_when_the_audit_log_is_down(self, conversation, monkeypatch):
        def down(**_: object) -> None:
            raise DatabaseError

        monkeypatch.setattr(explaining, "append", down)

        with pytest.raises(DatabaseError):
            explain(conversation_id=conversation.pk, actor=Actor.system("explain"), now=NOW)

    def test_refuses_what_never_was(self):
        with pytest.raises(ConversationUnknown):
            explain(conversation_id=uuid4(), actor=Actor.system("explain"), now=NOW)


class TestNext:
    def test_ends_then_due(self, conversation):
        ends_at = answer(conversation).destroy_after
        assert ends_at is not None

        assert answer(conversation).next is Next.ENDS
        assert answer(conversation, at=ends_at).next is Next.DUE

    def test_held(self, conversation, vakka, officer):
        matter = Matter.objects.create(
            controller=vakka,
            code="d-1",
            name="Dispute 1",
            reason="…",
            opened_at=NOW,
            review_at=NOW,
        )
        Conversation.objects.filter(pk=conversation.pk).update(hold_count=1)
        Hold.objects.create(
            matter=matter, conversation=conversation, placed_at=NOW, placed_by=officer
        )

        explanation = answer(conversation)

        assert explanation.next is Next.HELD
        assert [(hold.matter, hold.placed_by) for hold in explanation.holds] == [
            ("Dispute 1", "Olga Officer")
        ]

    def test_uncovered_says_until_when_to_decide(self, vakka):
        lonely = make_conversation(make_source(make_controller("Toinen")))

        explanation = answer(lonely)

        assert explanation.next is Next.UNCOVERED
        assert explanation.decide_before == NOW + timedelta(days=30)

    def test_observed(self, rules, vakka, claims):
        conversation = make_conversation(make_source(vakka, released=False))
        cover(conversation=conversation, now=NOW)

        assert answer(conversation).next is Next.OBSERVED

    def test_an_open_request(self, conversation):
        Conversation.objects.filter(pk=conversation.pk).update(open_requests=1)

        assert answer(conversation).next is Next.REQUEST_OPEN


class TestReach:
    def test_agrees_with_the_access_rule_for_every_person(self, conversation, vakka, claims):
        coaching = make_purpose("coaching")
        alice = make_user("Alice Coach", Role.COACH, vakka)
        let_hear(alice, claims, coaching)
        without_role = make_user("Bea")
        let_hear(without_role, claims, coaching)
        other_team = make_user("Charlie Coach", Role.COACH, vakka)
        let_hear(other_team, make_team(vakka, "Sales"), coaching)

        reached = {(one.reference, one.purpose) for one in reach_of(conversation, at=NOW)}

        assert reached == {
            (user.reference, coaching.code)
            for user in User.objects.all()
            if Conversation.objects.open_to(user=user, purpose=coaching, at=NOW).exists()
        }
        assert reached == {(alice.reference, "coaching")}

    def test_nobody_once_its_time_has_ended(self, conversation, vakka, claims):
        alice = make_user("Alice Coach", Role.COACH, vakka)
        let_hear(alice, claims, make_purpose("coaching"))

        assert reach_of(conversation, at=datetime(2027, 8, 20, 11, 32, tzinfo=UTC)) == ()


class TestHeard:
    def test_counts_the_ranges_of_one_listening_once(self, conversation, vakka):
        alice = make_user("Alice Coach", Role.COACH, vakka)
        plays = [uuid4(), uuid4()]
        with transaction.atomic():
            for number, play in enumerate([plays[0], plays[0], plays[0], plays[1]]):
                append(
                    event_type=EventType.DIALOG_PLAYED,
                    actor=Actor.user(alice.reference, role="coach"),
                    now=NOW + timedelta(seconds=number),
                    log=vakka.pk,
                    target=Target("dialog", str(uuid4())),
                    conversation=conversation.pk,
                    purpose="coaching",
                    basis="team_permission",
                    facts={"play": play},
                )

        (heard,) = answer(conversation, at=NOW + timedelta(seconds=3)).heard

        assert (heard.name, heard.count) == ("Alice Coach", 2)
        assert heard.last_at == NOW + timedelta(seconds=3)


@pytest.fixture
def destroyed(conversation, rules):
    """What a purge run leaves of the conversation."""
    run = PurgeRun.objects.create(actor="system:purge", started_at=NOW, heartbeat_at=NOW)
    Conversation.objects.filter(pk=conversation.pk).update(state="withdrawn", withdrawn_at=NOW)
    Conversation.objects.filter(pk=conversation.pk).update(
        wrapped_key=None, kek_name="", key_destroyed_at=NOW
    )
    Conversation.objects.filter(pk=conversation.pk).update(state="destroyed", destroyed_at=NOW)
    Destruction.objects.create(
        run=run,
        conversation=conversation,
        controller=conversation.controller,
        kind="call",
        ended_at=conversation.ended_at,
        destroy_after=conversation.destroy_after,
        rule_versions=[rules["evidence"].pk],
        objects_destroyed=[["2026/11/20/x/y", "v1", "00"]],
        withdrawn_at=NOW,
        key_destroyed_at=NOW,
        ledger_key="ledger/x",
        deleted_at=NOW,
        confirmed_at=NOW,
        concluded_at=NOW,
    )
    return conversation


class TestExplainDestroyed:
    def test_says_what_became_of_it_and_on_which_rules(self, destroyed, rules):
        explanation = answer(destroyed)

        assert explanation.next is Next.GONE
        assert explanation.certificate_line is not None
        assert explanation.certificate_line.rule_versions == (rules["evidence"].pk,)
        assert explanation.certificate_line.objects == 1
        assert [one.rules[0].rule for one in explanation.purposes] == [
            "Coaching, claims",
            "Evidence",
        ]
        assert explanation.reach == ()


@pytest.fixture
def run(acting_as):
    """Run the command as the work process does."""

    def deed(*arguments: str) -> str:
        out = StringIO()
        with acting_as("work"):
            call_command("explain", *arguments, stdout=out)
        return out.getvalue()

    return deed


class TestCommand:
    def test_prints_the_answer(self, run, conversation):
        text = run(str(conversation.pk))

        assert "decides: Coaching, claims, version 1, 9 months 0 days on Art. 6.1.f" in text
        assert "(it keeps longest)" in text
        assert "2031-11-20 14:32:00 EET" in text

    def test_prints_json(self, run, conversation):
        body = json.loads(run(str(conversation.pk), "--json"))

        assert body["destroy_after"] == "2031-11-20T12:32:00Z"
        assert body["purposes"][1]["bounded_by"] == "floor"

    def test_prints_the_certificate_line(self, run, destroyed):
        assert "awaiting seal" in run(str(destroyed.pk))

    @pytest.mark.parametrize("name", ["nonsense", "0199c2f0-5b6e-7cc1-8f60-2f1f4f0d3f11"])
    def test_wrong_use_exits_with_two(self, run, name):
        with pytest.raises(CommandError) as wrong:
            run(name)

        assert wrong.value.returncode == 2

    def test_uncovered_exits_with_one(self, run, source):
        lonely = make_conversation(source)

        with pytest.raises(SystemExit) as done:
            run(str(lonely.pk))

        assert done.value.code == 1
