"""What no rule covers waits in the open for thirty days, and is then destroyed, told and proven."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.conf import settings
from django.core import mail
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.test import override_settings

from accounts.roles import Role
from audit import clock
from audit.models import Event
from recordings.models import Conversation
from recordings.operations import lifecycle
from retention.attention import Asked, needs
from retention.models import About, Disposition, Notice
from retention.operations import dispositions, holds, mirror, reminders
from retention.operations.cover import ACTOR, cover
from retention.operations.recompute import recompute_next
from retention.permissions import NotEntitled
from tests.harness.faults import log_refused
from tests.harness.roles import Stage
from tests.retention import given
from tests.retention.centre import Centre, counted
from tests.retention.certified import certify
from tests.retention.enacting import create_rule, retire_rule
from tests.retention.retention_factories import (
    NOW,
    draft,
    make_controller,
    make_conversation,
    make_purpose,
    make_queue,
    make_source,
    make_team,
    make_user,
)

pytestmark = pytest.mark.django_db
DAYS = timedelta(days=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def vakka():
    return make_controller()


@pytest.fixture
def olga(vakka):
    return make_user("Olga", Role.COMPLIANCE_OFFICER, vakka)


@pytest.fixture
def diana(vakka):
    return make_user("Diana", Role.DATA_PROTECTION_OFFICER, vakka)


@pytest.fixture
def lonely(vakka) -> Conversation:
    """A conversation that no rule covers, since NOW."""
    conversation = make_conversation(make_source(vakka))
    cover(conversation=conversation, now=NOW)
    return conversation


@pytest.fixture(autouse=True)
def _postbox():
    with override_settings(EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend"):
        mail.outbox = []
        yield


def due_at(at) -> list:
    return list(Conversation.objects.due(at=at))


def codes_at(at) -> dict[str, int]:
    return {need.kind.code: need.found.count for need in needs(Asked(at))}


class TestThirtyDays:
    def test_count_to_the_second(self, lonely):
        last = NOW + 30 * DAYS - SECOND

        assert due_at(last) == []
        assert due_at(NOW + 30 * DAYS) == [lonely]

    def test_begin_when_it_loses_its_rule_and_not_when_it_was_captured(self, vakka, olga):
        rule = create_rule(
            controller=vakka,
            purpose=make_purpose("coaching"),
            name="Coaching",
            draft=draft(months=24),
            user=olga,
            now=NOW - 400 * DAYS,
        ).rule
        conversation = make_conversation(
            make_source(vakka), ended_at=NOW - 300 * DAYS, captured_at=NOW - 300 * DAYS
        )
        cover(conversation=conversation, now=NOW - 300 * DAYS)
        assert conversation.uncovered_at is None

        retire_rule(rule=rule, based_on=1, user=olga, now=NOW)
        while recompute_next(now=NOW + SECOND, keyring=None):
            pass

        conversation.refresh_from_db()
        assert conversation.uncovered_at == NOW + SECOND
        assert conversation.destroy_after == NOW + SECOND + 30 * DAYS
        assert codes_at(NOW + 2 * SECOND)["uncovered"] == 1

    def test_are_not_begun_anew_by_another_change_of_rules(self, vakka, olga, lonely):
        create_rule(
            controller=vakka,
            purpose=make_purpose("coaching"),
            name="Chats",
            draft=draft(months=6, kinds=["chat"]),
            user=olga,
            now=NOW + 5 * DAYS,
        )
        while recompute_next(now=NOW + 5 * DAYS, keyring=None):
            pass

        lonely.refresh_from_db()
        assert lonely.destroy_after == NOW + 30 * DAYS

    def test_are_over_when_a_rule_covers_it(self, vakka, olga, lonely):
        create_rule(
            controller=vakka,
            purpose=make_purpose("coaching"),
            name="All",
            draft=draft(months=24),
            user=olga,
            now=NOW + 5 * DAYS,
        )
        while recompute_next(now=NOW + 5 * DAYS, keyring=None):
            pass

        lonely.refresh_from_db()
        assert lonely.uncovered_at is None
        assert due_at(NOW + 31 * DAYS) == []

    def test_are_given_to_what_has_no_end_at_all(self, lonely):
        Conversation.objects.update(destroy_after=None, uncovered_at=None)

        assert reminders.give_deadlines(now=NOW + DAYS) == 1
        assert reminders.give_deadlines(now=NOW + 2 * DAYS) == 0

        lonely.refresh_from_db()
        assert lonely.destroy_after == NOW + 31 * DAYS

    def test_are_followed_by_withdrawing_only_what_is_not_held(self, stage: Stage, lonely, vakka):
        Conversation.objects.filter(pk=lonely.pk).update(open_requests=1)
        run = make_controller().pk

        with stage.acting_as("purge"):
            withdrawn = lifecycle.withdraw(
                conversation_ids=[lonely.pk], run_id=run, actor=ACTOR, now=NOW + 31 * DAYS
            )

        assert withdrawn == []


class TestNothingIsSilentlyPermanent:
    def test_a_team_queue_or_source_with_conversations_is_not_deleted(self, vakka):
        team, queue, source = make_team(vakka), make_queue(vakka), make_source(vakka)
        make_conversation(source, stretches=[(team, queue)])

        for row in (team, queue, source, vakka):
            with pytest.raises(ProtectedError):
                row.delete()

    def test_of_a_source_taken_back_to_observation_it_is_said(self, lonely):
        lonely.source.released_at = None
        lonely.source.save()

        assert due_at(NOW + 31 * DAYS) == []
        assert codes_at(NOW + 31 * DAYS)["observed"] == 1

    def test_an_agent_who_leaves_changes_nothing(self, lonely):
        agent = make_user("Anni")
        lonely.parties.create(position=0, role="agent", user=agent, sealed_details=b"")
        agent.is_active = False
        agent.save()

        assert due_at(NOW + 30 * DAYS) == [lonely]

    def test_what_is_due_and_stays_is_overdue(self, lonely):
        late = NOW + 30 * DAYS + 2 * timedelta(seconds=settings.PURGE_INTERVAL_SECONDS)

        assert "overdue" not in codes_at(late - SECOND)
        assert codes_at(late)["overdue"] == 1


class TestReminders:
    def test_come_once_at_each_of_the_days_left(self, vakka, olga, lonely):
        for hour in range(0, 31 * 24 + 1, 2):
            reminders.note_due(now=NOW + timedelta(hours=hour))

        noted = Notice.objects.order_by("noted_at").values_list("days_left", "count", "noted_at")
        assert [(days, count) for days, count, _ in noted] == [
            *((30, 1), (14, 1), (7, 1), (1, 1), (0, 1))
        ]
        assert [round((at - NOW) / DAYS) for _, _, at in noted] == [0, 16, 23, 29, 30]
        assert counted("decision.reminded") == 5

    def test_are_one_where_several_days_are_reached_together(self, lonely):
        reminders.note_due(now=NOW + 25 * DAYS)

        assert [notice.days_left for notice in Notice.objects.all()] == [7]

    def test_come_once_however_many_workers_there_are(self, stage: Stage, lonely):
        start = Barrier(4)

        def note() -> None:
            try:
                start.wait()
                reminders.note_due(now=NOW + DAYS)
            finally:
                connection.close()

        with stage.acting_as("work"), ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(note) for _ in range(4)]:
                done.result()

        assert (Notice.objects.count(), counted("decision.reminded")) == (1, 1)

    def test_speak_of_what_comes_later_too(self, vakka, lonely):
        reminders.note_due(now=NOW + DAYS)
        cover(conversation=make_conversation(lonely.source), now=NOW + 2 * DAYS)

        reminders.note_due(now=NOW + 3 * DAYS)

        counts = Notice.objects.order_by("noted_at").values_list("count", flat=True)
        assert list(counts) == [1, 1]

    def test_are_written_to_the_companys_officers_in_their_language(
        self, stage: Stage, vakka, olga, diana, lonely
    ):
        olga.language = "en"
        olga.save()
        make_user("Olli", Role.COMPLIANCE_OFFICER, make_controller("Onni"))
        reminders.note_due(now=NOW + 16 * DAYS)

        with stage.acting_as("work"):
            sent = [reminders.send_waiting(now=NOW + 16 * DAYS) for _ in range(2)]

        assert sent == [1, 0]
        (letter,) = mail.outbox
        assert letter.to == [olga.email]
        assert letter.subject == "Tallenne: decide within 14 days"
        assert "Vakka: 1 conversation has no rule." in letter.body
        assert "/retention/uncovered/" in letter.body
        assert str(lonely.pk) not in letter.body

    def test_wait_for_a_mail_server_that_is_away_and_are_then_red(self, olga, lonely):
        reminders.note_due(now=NOW + 16 * DAYS)
        with override_settings(
            EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend", EMAIL_PORT=9
        ):
            assert reminders.send_waiting(now=NOW + 16 * DAYS) == 0

        assert "unsent" not in codes_at(NOW + 16 * DAYS + timedelta(minutes=59))
        assert codes_at(NOW + 16 * DAYS + timedelta(minutes=60))["unsent"] == 1
        assert reminders.send_waiting(now=NOW + 17 * DAYS) == 1

    def test_wait_where_nobody_is_to_be_told(self, lonely):
        reminders.note_due(now=NOW + 16 * DAYS)

        assert reminders.send_waiting(now=NOW + 16 * DAYS) == 0
        assert Notice.objects.get().sent_at is None

    def test_are_not_noted_when_they_cannot_be_logged(self, stage: Stage, lonely):
        with log_refused(stage), pytest.raises(DatabaseError):
            reminders.note_due(now=NOW + 16 * DAYS)

        assert not Notice.objects.exists()
        assert len(reminders.note_due(now=NOW + 16 * DAYS)) == 1


def propose(conversation, user, kind=Disposition.Kind.DESTROY, *, reason="It is a private call."):
    return dispositions.propose(
        about=About.CONVERSATION,
        target=conversation.pk,
        kind=kind,
        reason=reason,
        user=user,
        now=NOW + DAYS,
    )


class TestTwoPersons:
    def test_destroy_before_the_time_is_over(self, stage: Stage, lonely, olga, diana):
        with stage.acting_as("web"):
            proposal = propose(lonely, olga)
            assert dispositions.carry_out(keyring=None, now=NOW + DAYS) == 0
            dispositions.agree(disposition=proposal, user=diana, now=NOW + DAYS)
            dispositions.agree(disposition=proposal, user=diana, now=NOW + DAYS)
        with stage.acting_as("work"):
            done = [dispositions.carry_out(keyring=None, now=NOW + 2 * DAYS) for _ in range(2)]

        assert done == [1, 0]
        assert due_at(NOW + 2 * DAYS) == [lonely]
        for deed in ("proposed", "agreed", "done"):
            assert counted(f"disposition.{deed}") == 1
        assert "private" not in Event.objects.get(event_type="disposition.proposed").body

    def test_prolong_it_once(self, lonely, olga, diana):
        proposal = propose(lonely, olga, Disposition.Kind.EXTEND)
        dispositions.agree(disposition=proposal, user=diana, now=NOW + DAYS)
        dispositions.carry_out(keyring=None, now=NOW + DAYS)

        lonely.refresh_from_db()
        assert lonely.destroy_after == NOW + 60 * DAYS
        with pytest.raises(dispositions.DispositionRefused):
            propose(lonely, olga, Disposition.Kind.EXTEND)

    def test_are_two(self, lonely, olga):
        proposal = propose(lonely, olga)

        with pytest.raises(dispositions.DispositionRefused):
            dispositions.agree(disposition=proposal, user=olga, now=NOW + DAYS)
        with pytest.raises(IntegrityError), transaction.atomic():
            Disposition.objects.update(agreed_by=olga, agreed_at=NOW)

    def test_are_of_the_company_and_the_first_is_a_compliance_officer(self, lonely, olga, diana):
        outsider = make_user("Olli", Role.COMPLIANCE_OFFICER, make_controller("Onni"))
        coach = make_user("Alice", Role.COACH, lonely.controller)

        for somebody in (outsider, coach, diana):
            with pytest.raises(NotEntitled):
                propose(lonely, somebody)
        proposal = propose(lonely, olga)
        for somebody in (outsider, coach):
            with pytest.raises(NotEntitled):
                dispositions.agree(disposition=proposal, user=somebody, now=NOW + DAYS)

    def test_decide_one_thing_at_a_time_and_with_a_reason(self, lonely, olga, diana):
        with pytest.raises(dispositions.DispositionRefused):
            propose(lonely, olga, reason="  ")
        proposal = propose(lonely, olga)
        with pytest.raises(dispositions.DispositionRefused):
            propose(lonely, olga)
        dispositions.take_back(disposition=proposal, user=diana, now=NOW + DAYS)
        with pytest.raises(dispositions.DispositionRefused):
            dispositions.agree(disposition=proposal, user=diana, now=NOW + DAYS)
        assert propose(lonely, olga).pk != proposal.pk

    def test_decide_nothing_about_what_a_rule_covers(self, vakka, olga, diana, lonely):
        proposal = propose(lonely, olga)
        dispositions.agree(disposition=proposal, user=diana, now=NOW + DAYS)
        later = NOW + 900 * DAYS
        Conversation.objects.update(uncovered_at=None, destroy_after=later)

        assert dispositions.carry_out(keyring=None, now=NOW + DAYS) == 0
        assert due_at(later - SECOND) == []
        assert not Disposition.objects.open().exists()
        with pytest.raises(dispositions.DispositionRefused):
            propose(lonely, olga)

    def test_decide_nothing_that_cannot_be_logged(self, stage: Stage, lonely, olga):
        with log_refused(stage), pytest.raises(DatabaseError):
            propose(lonely, olga)

        assert not Disposition.objects.exists()


class TestEnd:
    """In the store as well: an uncovered conversation goes as any other does."""

    @pytest.fixture
    def centre(self, stage: Stage, monkeypatch: pytest.MonkeyPatch, sealer) -> Centre:
        monkeypatch.setattr(mirror, "request", lambda *, conversation_ids: None)
        return Centre(stage)

    def test_is_destroyed_with_a_certificate_that_says_why(self, centre):
        (gone,) = centre.capture()
        gone.permitted_uses.all().delete()
        Conversation.objects.update(uncovered_at=clock.now() - 31 * DAYS)

        assert centre.purge().destroyed == 1

        (certificate,) = certify(centre.stage)
        line = json.loads(certificate.lines.get().line)
        assert line["rules"] == []
        assert line["event"]["x"]["reason"] == "no_rule_undecided"
        gone.refresh_from_db()
        assert (gone.state, gone.uncovered_at is None) == ("destroyed", False)
        assert [notice.days_left for notice in reminders.note_due(now=clock.now())] == [0]

    def test_stays_while_it_is_held(self, centre):
        (held,) = centre.capture()
        Conversation.objects.update(uncovered_at=clock.now() - 31 * DAYS)
        holds.place_hold(
            matter=given.a_matter(centre.controller),
            conversation_ids=[held.pk],
            placed_by=given.a_user("Bea", Role.COMPLIANCE_OFFICER),
            keyring=centre.keyring,
            now=clock.now(),
        )

        assert centre.purge().destroyed == 0
        assert codes_at(clock.now())["uncovered"] == 1
