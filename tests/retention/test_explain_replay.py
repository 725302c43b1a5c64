"""Asked again about a past moment, the answer is the one that was given then."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from audit import clock
from audit.events import Actor
from audit.models import Event
from recordings.models import BusinessReference, Conversation
from recordings.objectstore import ObjectStore
from recordings.operations.hashing import reference_hash
from retention.models import About, Disposition, Matter, PurgeRun, RetentionRule
from retention.operations import dispositions
from retention.operations.business_events import NewBusinessEvent, record_events
from retention.operations.criteria import Draft as CriterionDraft
from retention.operations.criteria import apply_next, set_criterion
from retention.operations.explain import NotThatTime, explain
from retention.operations.purge import leases, steps
from retention.operations.purge.run import purge
from retention.operations.recompute import recompute_next
from tests import factories
from tests.retention.enacting import change_rule, create_rule, retire_rule, set_limit
from tests.retention.lifted import lift, second_officer
from tests.retention.retention_factories import draft

ACTOR = Actor.system("explain")
ACT = "Act 1/2020"
YEARS_AGO = timedelta(days=400)


class Life:
    """A conversation, and what was said of it at each moment of its life."""

    conversation: Conversation

    def __init__(self, centre):
        self.centre = centre
        self.people = (centre.olga, second_officer(centre))
        self.answers: dict[datetime, str] = {}
        self.nexts: list[str] = []

    def ask(self, conversation: Conversation) -> None:
        """Ask why it is kept, and keep the answer."""
        now = clock.now()
        answer = explain(conversation_id=conversation.pk, actor=ACTOR, now=now)
        self.nexts.append(answer.next)
        self.answers[now] = said(answer.as_json())

    def lift(self, matter: Matter) -> None:
        lift(matter, self.conversation, people=self.people, keyring=self.centre.keyring())

    def recompute(self) -> None:
        with self.centre.stage.acting_as("work"):
            while recompute_next(now=clock.now(), keyring=self.centre.keyring()):
                pass


def said(answer: dict[str, object]) -> str:
    """The answer as text, byte by byte, but for when it was asked."""
    return json.dumps({name: value for name, value in answer.items() if name != "asked_at"})


@pytest.fixture
def life(centre):
    """From capture to destruction, asked about after each thing that happens to it."""
    life = Life(centre)
    evidence = factories.purpose("evidence")
    factories.give_team(centre.alice, centre.claims, evidence)
    rule = RetentionRule.objects.get(controller=centre.vakka)
    call = life.conversation = centre.call(ended_at=clock.now() - YEARS_AGO)
    life.ask(call)

    change_rule(
        rule=rule,
        draft=draft(months=36, teams=[centre.claims.pk], statute=ACT),
        based_on=1,
        user=centre.olga,
        now=clock.now(),
    )
    create_rule(
        controller=centre.vakka,
        purpose=evidence,
        name="Evidence",
        draft=draft(months=60, statute=ACT),
        user=centre.olga,
        now=clock.now(),
    )
    life.ask(call)
    life.recompute()
    life.ask(call)

    matter = centre.matter_of(call)
    life.ask(call)
    life.lift(matter)
    life.ask(call)

    evidence_rule = RetentionRule.objects.get(name="Evidence")
    change_rule(
        rule=evidence_rule, draft=draft(months=6), based_on=1, user=centre.olga, now=clock.now()
    )
    for ceiling in (24, 7):
        set_limit(
            controller=centre.vakka,
            purpose=evidence,
            floor_months=6 if ceiling == 24 else None,
            ceiling_months=ceiling,
            source=ACT,
            user=centre.olga,
            now=clock.now(),
        )
        life.ask(call)
        life.recompute()
        life.ask(call)
    change_rule(rule=rule, draft=draft(months=1), based_on=2, user=centre.olga, now=clock.now())
    life.recompute()
    life.ask(call)

    _withdraw_and_hold(life, call)
    with centre.stage.acting_as("purge"):
        purge(content=ObjectStore.for_purge(), anchor=ObjectStore.for_anchor(), clock=clock.now)
    life.ask(call)
    return life


def _about_a_claim(centre) -> Conversation:
    call = centre.call(ended_at=clock.now() - timedelta(days=60))
    BusinessReference.objects.create(
        conversation=call,
        kind="claim",
        reference_hash=reference_hash(
            keyring=centre.keyring(), controller_id=centre.vakka.pk, kind="claim", value="c-1"
        ),
    )
    return call


def _close_the_claim(centre, *, days_ago: int) -> None:
    now = clock.now()
    event = NewBusinessEvent("claim.closed", "c-1", now - timedelta(days=days_ago))
    record_events(controller=centre.vakka, events=[event], keyring=centre.keyring(), now=now)


def _wait_once_more(life: Life) -> None:
    first, second = life.people
    proposed = dispositions.propose(
        about=About.CONVERSATION,
        target=life.conversation.pk,
        kind=Disposition.Kind.EXTEND,
        reason="The board decides on Friday.",
        user=first,
        now=clock.now(),
    )
    dispositions.agree(disposition=proposed, user=second, now=clock.now())
    assert dispositions.carry_out(keyring=life.centre.keyring(), now=clock.now()) == 1


def _withdraw_and_hold(life: Life, call: Conversation) -> None:
    """Withdraw it as a run that is killed does, and let a hold bring it back."""
    now = clock.now()
    run = PurgeRun(actor="system:purge", started_at=now, heartbeat_at=now, due_count=1)
    with life.centre.stage.acting_as("purge"), leases.at_work() as token:
        assert steps.withdraw(
            run=run, conversation_ids=[call.pk], token=token, actor=ACTOR, now=clock.now()
        )
    life.ask(call)
    matter = life.centre.matter_of(call)
    life.ask(call)
    life.lift(matter)


def replayed(life: Life) -> list[str]:
    """The answers to the same questions, asked again now."""
    answers = []
    for at in life.answers:
        again = explain(conversation_id=life.conversation.pk, actor=ACTOR, now=clock.now(), at=at)
        assert again.asked_at > again.at == at
        answers.append(said(again.as_json()))
    return answers


class TestReplay:
    def test_each_moment_gives_the_answer_that_was_given_then(self, life):
        assert life.nexts[0] == "due"
        assert {"ends", "held", "going", "gone"} <= set(life.nexts)
        for through in ("team", "matter"):
            assert any(f'"through": "{through}"' in answer for answer in life.answers.values())

        assert replayed(life) == list(life.answers.values())

    def test_so_it_does_of_what_waits_for_an_event_a_decision_or_its_hold(self, centre):
        life = Life(centre)
        call = life.conversation = _about_a_claim(centre)
        rule = RetentionRule.objects.get(controller=centre.vakka)
        officer = {"user": centre.olga, "now": clock.now()}
        by_claim = draft(months=1, trigger="claim.closed", cap_months=5)
        change_rule(rule=rule, draft=by_claim, based_on=1, **officer)
        life.recompute()
        life.ask(call)
        for days in (40, 20):
            _close_the_claim(centre, days_ago=days)
            life.ask(call)

        retire_rule(rule=rule, based_on=2, user=centre.olga, now=clock.now())
        life.ask(call)
        life.recompute()
        life.ask(call)
        _wait_once_more(life)
        life.ask(call)
        create_rule(
            controller=centre.vakka,
            purpose=centre.coaching,
            name="Anew",
            draft=draft(months=9),
            user=centre.olga,
            now=clock.now(),
        )
        life.recompute()
        life.ask(call)

        set_criterion(
            matter=centre.matter_of(centre.call()),
            draft=CriterionDraft(kinds=("call",)),
            set_by=centre.olga,
            now=clock.now(),
        )
        life.ask(call)
        while apply_next(now=clock.now(), keyring=centre.keyring()):
            pass
        life.ask(call)

        assert life.nexts == [
            *("ends", "due", "ends", "ends", "uncovered", "uncovered", "ends", "held", "held")
        ]
        assert replayed(life) == list(life.answers.values())

    def test_the_question_is_logged_with_the_time_it_is_about(self, life):
        at = next(iter(life.answers))

        explain(conversation_id=life.conversation.pk, actor=ACTOR, now=clock.now(), at=at)

        event = Event.objects.filter(event_type="conversation.explained").order_by("id").last()
        assert event is not None
        assert f'"until":"{at:%Y-%m-%dT%H:%M:%S.%f}Z"' in event.body

    def test_refuses_what_is_to_come_and_what_was_before_it(self, centre):
        call, now = centre.call(), clock.now()

        for at in (call.captured_at - timedelta(microseconds=1), now + timedelta(seconds=1)):
            with pytest.raises(NotThatTime):
                explain(conversation_id=call.pk, actor=ACTOR, now=now, at=at)


class TestWaysIn:
    def test_the_command(self, centre):
        call = centre.call()
        at = clock.now()
        centre.matter_of(call)
        out = StringIO()

        with centre.stage.acting_as("work"):
            call_command("explain", str(call.pk), "--json", "--at", at.isoformat(), stdout=out)
            with pytest.raises(CommandError) as wrong:
                call_command("explain", str(call.pk), "--at", "2020-01-01T00:00:00Z")
            with pytest.raises(CommandError):
                call_command("explain", str(call.pk), "--at", "2020-01-01T00:00:00")

        assert json.loads(out.getvalue())["hold_count"] == 0
        assert wrong.value.returncode == 2

    def test_the_page(self, centre, olga):
        call = centre.call()
        address = reverse("retention:explain", args=[call.pk])

        now = olga.get(address).text
        early = olga.get(f"{address}?at=2020-01-01T00:00")
        wrong = olga.get(f"{address}?at=yesterday")

        assert "As it stood at" in now
        assert (early.status, wrong.status) == (422, 422)
        assert "since the conversation was captured" in early.text
