"""Two persons, and the cooling time: how a rule comes into force, and how it does not."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Thread

import pytest
from django.conf import settings
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.test import override_settings

from accounts.roles import Role
from audit.models import Event
from recordings.models import Conversation
from retention.drafts import Draft
from retention.models import (
    Proposal,
    PurposeLimit,
    Recomputation,
    RetentionRule,
    RuleVersion,
    Urgency,
)
from retention.operations import enacting
from retention.operations.coming_into_force import come_into_force
from retention.operations.cover import cover
from retention.operations.proposals import (
    DecidedAlready,
    NotYours,
    ReasonMissing,
    SamePerson,
    approve,
    enacted_by,
    refuse,
    take_back,
)
from retention.operations.proposing import Intent, ProposalOpen
from retention.operations.recompute import recompute_next
from retention.operations.rules import (
    RuleChangedMeanwhile,
    RuleRefused,
    propose_change,
    propose_limit,
    propose_retirement,
    propose_rule,
)
from retention.operations.set_up import put_rule_in_force
from retention.permissions import NotEntitled
from retention.queries import rule_book
from tests.retention.retention_factories import (
    NOW,
    draft,
    make_controller,
    make_conversation,
    make_limit,
    make_purpose,
    make_source,
    make_user,
)

pytestmark = pytest.mark.django_db
COOLING = timedelta(days=7)
WHY = Intent("The board decided it.")
SECOND = timedelta(seconds=1)


@pytest.fixture
def vakka():
    return make_controller("Vakka")


@pytest.fixture
def coaching():
    return make_purpose("coaching")


@pytest.fixture
def olga(vakka):
    return make_user("Olga Officer", Role.COMPLIANCE_OFFICER, vakka)


@pytest.fixture
def sanna(vakka):
    return make_user("Sanna Second", Role.COMPLIANCE_OFFICER, vakka)


@pytest.fixture
def rule(vakka, coaching) -> RetentionRule:
    """Six months, in force for a month."""
    return put_rule_in_force(
        controller=vakka,
        purpose=coaching,
        name="Coaching",
        draft=draft(months=6),
        now=NOW - timedelta(days=30),
    ).rule


@pytest.fixture
def change(rule, olga):
    """Propose, as Olga, another number of months."""

    def deed(months: int, *, based_on: int = 1, at: datetime = NOW, intent: Intent = WHY):
        return propose_change(
            rule=rule,
            draft=draft(months=months),
            based_on=based_on,
            intent=intent,
            user=olga,
            now=at,
        )

    return deed


@pytest.fixture
def agreed(sanna):
    """Have Sanna approve; gives what became law."""

    def deed(proposal: Proposal, *, at: datetime = NOW) -> RuleVersion | PurposeLimit:
        law = enacted_by(approve(proposal_id=proposal.pk, reason="I agree.", user=sanna, now=at))
        assert law is not None
        return law

    return deed


@pytest.fixture
def kept(vakka, rule) -> Conversation:
    conversation = make_conversation(make_source(vakka))
    cover(conversation=conversation, now=NOW)
    return conversation


def end_of(conversation: Conversation, *, at: datetime) -> datetime | None:
    """When it ends, after the workers have looked at that time."""
    come_into_force(now=at)
    while recompute_next(now=at, keyring=None):
        pass
    return Conversation.objects.get(pk=conversation.pk).destroy_after


def months_kept(conversation: Conversation, *, at: datetime) -> int:
    ended, ends = conversation.ended_at, end_of(conversation, at=at)
    assert ends is not None
    return (ends.year - ended.year) * 12 + ends.month - ended.month


def events(event_type: str) -> list[Event]:
    return list(Event.objects.filter(event_type=event_type))


class TestTwoPersons:
    def test_what_is_proposed_does_not_speak(self, change, kept, rule, vakka):
        change(12)

        assert not rule.versions.filter(number=2).exists()
        assert months_kept(kept, at=NOW + 2 * COOLING) == 6
        assert len(events("proposal.made")) == 1

    def test_the_second_makes_it_law_and_both_are_named(self, change, agreed, olga, sanna):
        proposal = change(12)

        version = agreed(proposal, at=NOW + SECOND)

        assert (version.created_by, version.approved_by) == (olga, sanna)
        assert version.in_force_from == NOW + SECOND
        (event,) = events("rule.changed")
        assert event.actor == str(sanna.reference)
        assert f'"proposer":"{olga.reference}"' in event.body

    def test_nobody_decides_what_she_proposed_herself_and_the_log_says_so(self, change, olga, rule):
        proposal = change(1)

        for deed in (approve, refuse):
            with pytest.raises(SamePerson):
                deed(proposal_id=proposal.pk, reason="Me again.", user=olga, now=NOW)

        assert rule.versions.count() == 1
        assert [event.outcome for event in events("approval.refused")] == ["deny", "deny"]

    def test_the_database_refuses_the_same_person_as_well(self, change, agreed, olga, acting_as):
        proposal = change(12)
        with acting_as("web"), pytest.raises(IntegrityError), transaction.atomic():
            Proposal.objects.filter(pk=proposal.pk).update(
                state="approved", decided_by=olga, decided_at=NOW
            )
        law = agreed(proposal)
        with pytest.raises(IntegrityError), transaction.atomic():
            RuleVersion.objects.filter(pk=law.pk).update(approved_by=olga)

    def test_the_web_makes_no_law_without_a_proposal(self, rule, acting_as):
        version = RuleVersion(
            rule=rule, number=2, in_force_from=NOW, created_at=NOW, keep_days=1, legal_basis="6.1.f"
        )

        with acting_as("web"), pytest.raises(IntegrityError), transaction.atomic():
            version.save(force_insert=True)

        assert rule.versions.count() == 1

    def test_an_outsider_decides_nothing(self, change, vakka):
        proposal = change(12)
        stranger = make_user("Bob", Role.COMPLIANCE_OFFICER, make_controller("Toinen"))
        dpo = make_user("Dagmar", Role.DATA_PROTECTION_OFFICER, vakka)

        for person in (stranger, dpo):
            for deed in (approve, refuse, take_back):
                with pytest.raises(NotEntitled):
                    deed(proposal_id=proposal.pk, reason="No.", user=person, now=NOW)

    def test_a_refusal_ends_it_and_needs_a_reason(self, change, sanna, rule):
        proposal = change(12)

        with pytest.raises(ReasonMissing):
            refuse(proposal_id=proposal.pk, reason=" ", user=sanna, now=NOW)
        refuse(proposal_id=proposal.pk, reason="Too long.", user=sanna, now=NOW)

        with pytest.raises(DecidedAlready):
            approve(proposal_id=proposal.pk, reason="After all.", user=sanna, now=NOW)
        assert rule.versions.count() == 1
        assert len(events("proposal.refused")) == 1

    def test_the_first_takes_it_back_and_nobody_else(self, change, olga, sanna):
        proposal = change(12)

        with pytest.raises(NotYours):
            take_back(proposal_id=proposal.pk, reason="No.", user=sanna, now=NOW)
        take_back(proposal_id=proposal.pk, reason="An error.", user=olga, now=NOW)

        assert Proposal.objects.get().state == "taken_back"
        assert change(9).state == "open"

    def test_one_open_proposal_a_rule(self, change, rule, olga, vakka, coaching):
        change(12)

        with pytest.raises(ProposalOpen):
            change(9)
        with pytest.raises(ProposalOpen):
            propose_retirement(rule=rule, based_on=1, intent=WHY, user=olga, now=NOW)

    def test_what_was_changed_meanwhile_is_not_approved(self, change, agreed, rule):
        proposal = change(12)
        RuleVersion.objects.create(
            rule=rule, number=2, in_force_from=NOW, created_at=NOW, keep_months=9, legal_basis="x"
        )

        with pytest.raises(RuleChangedMeanwhile):
            agreed(proposal)

        assert Proposal.objects.get().state == "open"

    def test_contradictions_are_asked_again_at_approval(self, change, agreed, vakka, coaching):
        proposal = change(12)
        make_limit(vakka, coaching, floor=None, ceiling=6)

        with pytest.raises(RuleRefused):
            agreed(proposal)

    def test_of_two_who_approve_at_once_one_does(self, change, vakka, rule):
        proposal = change(12)
        people = [make_user(name, Role.COMPLIANCE_OFFICER, vakka) for name in ("Anna", "Birgit")]
        refused: list[Exception] = []

        def deed(person):
            try:
                approve(proposal_id=proposal.pk, reason="Yes.", user=person, now=NOW)
            except DecidedAlready as too_late:
                refused.append(too_late)
            finally:
                connections.close_all()

        threads = [Thread(target=deed, args=(person,)) for person in people]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert (len(refused), rule.versions.count()) == (1, 2)

    def test_nothing_is_law_when_the_audit_log_is_down(self, change, agreed, rule, monkeypatch):
        proposal = change(12)

        def down(**_):
            raise DatabaseError

        monkeypatch.setattr(enacting, "append", down)
        with pytest.raises(DatabaseError):
            agreed(proposal)

        assert rule.versions.count() == 1
        assert Proposal.objects.get().state == "open"

    def test_a_decision_stands(self, change, agreed):
        proposal = change(12)
        agreed(proposal)

        with pytest.raises(IntegrityError), transaction.atomic():
            Proposal.objects.filter(pk=proposal.pk).update(state="refused")
        with pytest.raises(IntegrityError), transaction.atomic():
            Proposal.objects.filter(pk=proposal.pk).update(terms={})


class TestCoolingTime:
    def test_no_end_changes_before_it_is_over(self, change, agreed, kept, rule):
        """Threat T7: due dates are unchanged before the delay ends."""
        version = agreed(change(3))

        assert version.is_shortening
        assert version.in_force_from == NOW + COOLING
        assert months_kept(kept, at=NOW) == 6
        assert months_kept(kept, at=NOW + COOLING - SECOND) == 6
        assert months_kept(kept, at=NOW + COOLING) == 3

    def test_what_is_captured_meanwhile_goes_by_what_is_in_force(self, change, agreed, vakka, rule):
        agreed(change(3))
        source = make_source(vakka)
        early, late = make_conversation(source), make_conversation(source)

        cover(conversation=early, now=NOW + COOLING - SECOND)
        cover(conversation=late, now=NOW + COOLING)

        assert early.destroy_after is not None and late.destroy_after is not None
        assert early.destroy_after > late.destroy_after

    def test_a_capture_that_began_before_and_ends_after_goes_by_the_new_rule(
        self, change, agreed, vakka, kept
    ):
        agreed(change(3))
        slow = make_conversation(make_source(vakka))
        come_into_force(now=NOW + COOLING)

        cover(conversation=slow, now=NOW + COOLING - SECOND)

        assert months_kept(slow, at=NOW + COOLING) == 3

    def test_late_workers_catch_up_once(self, change, agreed, kept, vakka):
        agreed(change(3))
        late = NOW + 3 * COOLING

        assert come_into_force(now=late) == [vakka.pk]
        assert come_into_force(now=late) == []

        assert len(events("rules.enforced")) == 1
        assert months_kept(kept, at=late) == 3

    def test_a_worker_does_it_with_its_rights(self, change, agreed, kept, acting_as):
        agreed(change(3))

        with acting_as("work"):
            come_into_force(now=NOW + COOLING)

        assert Recomputation.objects.open().get().requested_at == NOW + COOLING

    def test_a_retirement_waits_too(self, rule, olga, agreed, kept):
        proposal = propose_retirement(rule=rule, based_on=1, intent=WHY, user=olga, now=NOW)

        agreed(proposal)

        assert months_kept(kept, at=NOW + COOLING - SECOND) == 6
        undecided = timedelta(days=settings.UNCOVERED_DECIDE_DAYS)
        assert end_of(kept, at=NOW + COOLING) == NOW + COOLING + undecided

    def test_a_new_exclusion_waits_and_can_be_taken_back(
        self, vakka, coaching, olga, agreed, kept, sanna
    ):
        excluding = Draft(keep_months=0, keep_days=0, legal_basis="", is_exclusion=True)
        proposal = propose_rule(
            controller=vakka,
            purpose=coaching,
            name="None of these",
            draft=excluding,
            intent=WHY,
            user=olga,
            now=NOW,
        )

        law = agreed(proposal)

        assert (law.is_shortening, law.in_force_from) == (True, NOW + COOLING)
        assert months_kept(kept, at=NOW + COOLING - SECOND) == 6
        take_back(proposal_id=proposal.pk, reason="No.", user=sanna, now=NOW + COOLING - SECOND)
        assert months_kept(kept, at=NOW + 2 * COOLING) == 6
        book = rule_book(controller=vakka, at=NOW + 2 * COOLING)
        assert not any(terms.is_exclusion for terms in (*book.terms, *book.earlier))

    def test_what_was_taken_back_is_no_time_that_held_before(self, change, agreed, sanna, vakka):
        proposal = change(3)
        agreed(proposal)
        take_back(proposal_id=proposal.pk, reason="No.", user=sanna, now=NOW + SECOND)

        book = rule_book(controller=vakka, at=NOW + 2 * COOLING)

        assert [terms.keep_months for terms in (*book.terms, *book.earlier)] == [6]

    def test_a_ceiling_waits_too(self, vakka, coaching, olga, agreed, kept, rule, change):
        agreed(change(12))
        proposal = propose_limit(
            controller=vakka,
            purpose=coaching,
            floor_months=None,
            ceiling_months=12,
            source="Board",
            intent=WHY,
            user=olga,
            now=NOW,
        )
        law = agreed(proposal)

        assert law.is_shortening
        assert law.in_force_from == NOW + COOLING
        assert not PurposeLimit.objects.in_force(at=NOW + COOLING - SECOND).exists()

    def test_a_floor_lengthens_at_once(self, vakka, coaching, olga, agreed, kept):
        proposal = propose_limit(
            controller=vakka,
            purpose=coaching,
            floor_months=6,
            ceiling_months=None,
            source="Act 1/2020",
            intent=WHY,
            user=olga,
            now=NOW,
        )

        assert agreed(proposal).in_force_from == NOW

    def test_a_date_is_kept_and_never_brings_it_forward(self, change, agreed):
        wanted = NOW + 4 * COOLING
        assert agreed(change(3, intent=Intent("Why", wanted_from=wanted))).in_force_from == wanted

    def test_a_date_within_the_cooling_time_waits_for_its_end(self, change, agreed):
        soon = Intent("Why", wanted_from=NOW + SECOND)
        assert agreed(change(3, intent=soon)).in_force_from == NOW + COOLING

    def test_refuses_a_date_in_the_past(self, change):
        with pytest.raises(RuleRefused) as refusal:
            change(3, intent=Intent("Why", wanted_from=NOW - SECOND))

        assert [problem.field for problem in refusal.value.problems] == ["wanted_from"]

    def test_the_date_was_right_when_proposed_and_is_past_at_approval(self, change, agreed):
        proposal = change(12, intent=Intent("Why", wanted_from=NOW + SECOND))

        assert agreed(proposal, at=NOW + COOLING).in_force_from == NOW + COOLING

    def test_one_alone_takes_a_shortening_back_before_it_speaks(
        self, change, agreed, sanna, kept, rule
    ):
        proposal = change(3)
        far_off = Intent("Why", wanted_from=datetime(2098, 1, 1, tzinfo=NOW.tzinfo))
        take_back(proposal_id=proposal.pk, reason="-", user=proposal.proposed_by, now=NOW)
        law = agreed(change(3, intent=far_off))
        assert law.proposal is not None

        take_back(proposal_id=law.proposal.pk, reason="Evidence!", user=sanna, now=NOW)

        assert months_kept(kept, at=datetime(2098, 1, 2, tzinfo=NOW.tzinfo)) == 6
        assert change(12).based_on == 1
        with pytest.raises(DecidedAlready):
            take_back(proposal_id=law.proposal.pk, reason="Again", user=sanna, now=NOW)

    def test_what_speaks_is_not_taken_back(self, change, agreed, sanna):
        law = agreed(change(3))
        assert law.proposal is not None

        with pytest.raises(DecidedAlready):
            take_back(proposal_id=law.proposal.pk, reason="-", user=sanna, now=NOW + COOLING)
        with pytest.raises(IntegrityError), transaction.atomic():
            # By the database's own clock.
            RuleVersion.objects.filter(number=1).update(taken_back_at=NOW)

    def test_lengthening_again_while_a_shortening_waits_is_in_force_at_once(
        self, change, agreed, kept
    ):
        agreed(change(3))

        again = agreed(change(6, based_on=2))

        assert not again.is_shortening
        assert months_kept(kept, at=NOW + 2 * COOLING) == 6

    def test_shortening_what_waits_to_be_longer_cools(self, change, agreed):
        agreed(change(12, intent=Intent("Why", wanted_from=NOW + 4 * COOLING)))

        assert agreed(change(9, based_on=2)).in_force_from == NOW + COOLING


class TestUrgency:
    def test_has_no_cooling_time_and_is_marked(self, change, agreed, kept):
        law = agreed(change(3, intent=Intent("It is unlawful.", urgency=Urgency.UNLAWFUL)))

        assert (law.in_force_from, law.urgency) == (NOW, "unlawful")
        assert months_kept(kept, at=NOW) == 3
        assert '"urgency":"unlawful"' in events("rule.hastened")[0].body

    def test_needs_the_second_person_all_the_same(self, change, olga, kept):
        proposal = change(3, intent=Intent("An order.", urgency=Urgency.AUTHORITY_ORDER))

        with pytest.raises(SamePerson):
            approve(proposal_id=proposal.pk, reason="Me.", user=olga, now=NOW)

        assert months_kept(kept, at=NOW) == 6

    def test_is_of_a_known_kind(self, change):
        with pytest.raises(RuleRefused):
            change(3, intent=Intent("Hurry", urgency="impatience"))


class TestSetUp:
    def test_is_refused_to_the_web(self, vakka, coaching, acting_as):
        with acting_as("web"), pytest.raises(IntegrityError):
            put_rule_in_force(
                controller=vakka, purpose=coaching, name="Mine", draft=draft(), now=NOW
            )

        assert not RetentionRule.objects.exists()

    def test_the_cooling_time_is_the_settings(self, change, agreed):
        with override_settings(RULE_COOLING_DAYS=30):
            assert agreed(change(3)).in_force_from == NOW + timedelta(days=30)
        assert settings.RULE_COOLING_DAYS == 7


def test_one_rule_a_name_is_proposed(vakka, coaching, olga):
    def deed(name: str) -> Proposal:
        return propose_rule(
            controller=vakka,
            purpose=coaching,
            name=name,
            draft=draft(),
            intent=WHY,
            user=olga,
            now=NOW,
        )

    deed("Calls")

    with pytest.raises(ProposalOpen):
        deed("CALLS")
    with pytest.raises(RuleRefused):
        propose_rule(
            controller=vakka,
            purpose=coaching,
            name="Other",
            draft=draft(),
            intent=Intent(""),
            user=olga,
            now=NOW,
        )
