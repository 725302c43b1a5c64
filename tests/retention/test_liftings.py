"""Nothing is lifted, dropped or closed by one person; what two agree to is, to the end."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction

from audit import clock
from recordings.models import Conversation
from retention.models import Criterion, Hold, Lifting, Matter
from retention.operations import holds, liftings
from retention.permissions import NotEntitled
from tests.retention import given
from tests.retention.centre import counted
from tests.retention.lifted import REASON
from tests.retention.office import Office

LATER = timedelta(days=9)
PATIENCE_SECONDS = 30.0


def propose(office: Office, *conversations: Conversation) -> Lifting:
    """Bea proposes to lift the holds on the conversations."""
    with office.stage.acting_as("web"):
        return liftings.propose_lifting(
            matter=office.matter,
            conversation_ids=[one.pk for one in conversations],
            reason=REASON,
            proposed_by=office.bea,
            now=clock.now(),
        )


def drop(office: Office, criterion: Criterion) -> Lifting:
    """Bea proposes to drop the criterion."""
    with office.stage.acting_as("web"):
        return liftings.propose_dropping(
            criterion=criterion, reason=REASON, proposed_by=office.bea, now=clock.now()
        )


def close(office: Office, matter: Matter | None = None) -> Lifting:
    """Bea proposes to close the matter."""
    with office.stage.acting_as("web"):
        return liftings.propose_closing(
            matter=matter or office.matter, reason=REASON, proposed_by=office.bea, now=clock.now()
        )


def agree(office: Office, lifting: Lifting, *, by=None) -> Lifting:
    """Bo agrees, unless told who."""
    with office.stage.acting_as("web"):
        return liftings.agree_to_lifting(
            lifting=lifting,
            agreed_by=by or office.bo,
            keyring=office.keyring,
            now=clock.now(),
        )


def take_back(office: Office, lifting: Lifting, *, by) -> None:
    with office.stage.acting_as("web"):
        liftings.take_back(lifting=lifting, taken_back_by=by, now=clock.now())


@pytest.fixture
def call(office) -> Conversation:
    """A call that is due and held."""
    (made,) = office.capture()
    office.hold(made)
    return made


class TestTwoPersons:
    def test_the_hold_stays_until_a_second_person_agrees(self, office, call):
        lifting = propose(office, call)
        assert office.purge().destroyed == 0

        agree(office, lifting)

        call.refresh_from_db()
        hold = Hold.objects.get()
        assert (call.hold_count, hold.lifted_by, hold.lifting) == (0, office.bo, lifting)
        assert counted("lifting.proposed") == counted("lifting.agreed") == 1
        assert counted("hold.lifted") == counted("lifting.finished") == 1
        assert office.purge().destroyed == 1

    def test_refuses_the_person_who_proposed_it_and_so_does_the_database(self, office, call):
        lifting = propose(office, call)

        with pytest.raises(liftings.SamePerson):
            agree(office, lifting, by=office.bea)
        with pytest.raises(DatabaseError, match="another person"), transaction.atomic():
            Lifting.objects.update(agreed_at=clock.now(), agreed_by=office.bea)
        with pytest.raises(DatabaseError), transaction.atomic():
            Lifting.objects.update(proposed_by=office.bo)
        with connection.cursor() as cursor, transaction.atomic():
            cursor.execute("ALTER TABLE retention_lifting DISABLE TRIGGER lifting_guard")
        with (
            pytest.raises(DatabaseError, match="lifting_agreed_by_another"),
            transaction.atomic(),
        ):
            Lifting.objects.update(agreed_at=clock.now(), agreed_by=office.bea)

        call.refresh_from_db()
        assert call.hold_count == 1

    def test_refuses_who_has_no_right(self, office, call):
        lifting = propose(office, call)
        stranger = given.a_user("Stina", "compliance_officer", controller=given.a_controller())

        for person in (office.hanna, stranger):
            with pytest.raises(NotEntitled):
                agree(office, lifting, by=person)
        office.bea = office.hanna
        with pytest.raises(NotEntitled):
            propose(office, call)

        assert Hold.objects.active().exists()

    def test_the_proposer_may_take_it_back_and_nobody_else(self, office, call):
        lifting = propose(office, call)

        with pytest.raises(liftings.AnotherPerson):
            take_back(office, lifting, by=office.bo)
        take_back(office, lifting, by=office.bea)

        for deed in (
            lambda: agree(office, lifting),
            lambda: take_back(office, lifting, by=office.bea),
        ):
            with pytest.raises(liftings.LiftingSettled):
                deed()
        assert counted("lifting.taken_back") == 1
        assert Hold.objects.active().exists()

    def test_a_second_time_changes_nothing(self, office, call):
        lifting = propose(office, call)
        agree(office, lifting)

        with pytest.raises(liftings.LiftingSettled):
            agree(office, lifting)
        with pytest.raises(liftings.NothingToLift):
            propose(office, call)

        assert counted("hold.lifted") == 1

    def test_of_two_who_agree_at_once_one_does(self, office, call):
        lifting = propose(office, call)
        third = given.a_user("Bibi", "compliance_officer", controller=office.controller)
        begin, outcomes = threading.Barrier(2), []

        def try_it(person):
            begin.wait()
            try:
                liftings.agree_to_lifting(
                    lifting=lifting, agreed_by=person, keyring=office.keyring, now=clock.now()
                )
            except liftings.LiftingSettled:
                outcomes.append("settled")
            else:
                outcomes.append("agreed")
            finally:
                connection.close()

        threads = [threading.Thread(target=try_it, args=[one]) for one in (office.bo, third)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(outcomes) == ["agreed", "settled"]
        assert counted("hold.lifted") == 1

    def test_what_is_placed_at_the_same_moment_stays_and_is_counted(self, office):
        calls = office.capture(8)
        office.hold(*calls)
        other = given.a_matter(office.controller, opened_by=office.bea)
        proposed = [propose(office, call) for call in calls]

        def at_once(deed):
            try:
                for each in range(len(calls)):
                    begin.wait(PATIENCE_SECONDS)
                    deed(each)
            finally:
                connection.close()

        def lift(each):
            liftings.agree_to_lifting(
                lifting=proposed[each],
                agreed_by=office.bo,
                keyring=office.keyring,
                now=clock.now(),
            )

        def place(each):
            holds.place_hold(
                matter=other,
                conversation_ids=[calls[each].pk],
                placed_by=office.bea,
                keyring=office.keyring,
                now=clock.now(),
            )

        begin = threading.Barrier(2)
        threads = [threading.Thread(target=at_once, args=[deed]) for deed in (lift, place)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert office.purge().destroyed == 0
        assert set(Conversation.objects.values_list("hold_count", flat=True)) == {1}
        assert set(Hold.objects.active().values_list("matter", flat=True)) == {other.pk}

    def test_lifts_nothing_when_the_audit_log_is_down(self, office, call):
        lifting = propose(office, call)
        with connection.cursor() as cursor:
            cursor.execute(
                "REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_web"
            )

        with pytest.raises(DatabaseError):
            agree(office, lifting)

        lifting.refresh_from_db()
        assert lifting.agreed_at is None
        assert Hold.objects.active().exists()

    def test_the_database_lifts_nothing_by_one_person(self, office, call, subtests):
        lifting = propose(office, call)

        for statement in (
            "UPDATE retention_hold SET lifted_at = now(), lifted_by_id = placed_by_id",
            f"UPDATE retention_hold SET lifting_id = '{lifting.pk}'",
            "UPDATE retention_matter SET closed_at = now()",
            "UPDATE retention_lifting SET hold_ids = '{}'",
            "UPDATE retention_lifting SET agreed_at = now()",
            "DELETE FROM retention_lifting",
        ):
            with (
                subtests.test(statement),
                pytest.raises(DatabaseError),
                transaction.atomic(),
                connection.cursor() as cursor,
            ):
                cursor.execute(statement)


class TestDropping:
    def test_lifts_what_the_criterion_holds_and_leaves_what_holds_besides(self, office):
        by_hand, other, only = office.capture(3, destroy_after=clock.now() + LATER)
        office.name_handler()
        office.hold(by_hand)
        (elsewhere, criterion) = (
            given.a_matter(office.controller, opened_by=office.bea),
            office.set_criterion(kinds=("call",)),
        )
        office.hold(other, matter=elsewhere)
        office.apply()

        agree(office, drop(office, criterion))

        counts = [Conversation.objects.get(pk=one.pk).hold_count for one in (by_hand, other, only)]
        assert counts == [1, 1, 0]
        assert office.may_hear(office.hanna, by_hand)
        assert not office.may_hear(office.hanna, only)
        assert counted("criterion.dropped") == 1

    def test_while_it_is_being_applied_stops_it(self, office):
        calls = office.capture(3)
        criterion = office.set_criterion(kinds=("call",))

        agree(office, drop(office, criterion))

        assert office.apply() == 0
        assert office.purge().destroyed == len(calls)

    def test_is_proposed_once(self, office):
        criterion = office.set_criterion(kinds=("call",))
        lifting = drop(office, criterion)

        with pytest.raises(liftings.ProposedAlready):
            drop(office, criterion)
        agree(office, lifting)
        with pytest.raises(liftings.NothingToLift):
            drop(office, criterion)


class TestClosing:
    def test_takes_back_what_else_was_proposed_and_refuses_all_deeds(self, office, call):
        other = propose(office, call)

        agree(office, close(office))

        office.matter.refresh_from_db()
        assert office.matter.closed_at is not None
        for deed in (
            lambda: agree(office, other),
            lambda: office.hold(call),
            lambda: close(office),
            lambda: propose(office, call),
        ):
            with pytest.raises((liftings.LiftingSettled, holds.MatterClosed)):
                deed()

    def test_is_proposed_once(self, office):
        close(office)

        with pytest.raises(liftings.ProposedAlready):
            close(office)


class TestLiftingMany:
    def test_killed_half_way_goes_on_and_each_is_barred_until_its_batch(self, office, monkeypatch):
        monkeypatch.setattr(liftings, "BATCH_SIZE", 2)
        calls = office.capture(5)
        office.hold(*calls)
        lifting = agree(office, propose(office, *calls))
        assert (lifting.total_count, lifting.lifted_count, lifting.finished_at) == (5, 2, None)
        with (
            office.stage.acting_as("work"),
            monkeypatch.context() as patch,
            pytest.raises(ZeroDivisionError),
        ):
            patch.setattr(liftings.mirror, "request", _fail)
            liftings.lift_next(now=clock.now(), keyring=office.keyring, batch_size=2)
        assert office.purge().destroyed == 2

        office.lift_rest()

        lifting.refresh_from_db()
        assert (lifting.lifted_count, counted("hold.lifted")) == (5, 5)
        assert lifting.finished_at is not None
        assert office.purge().destroyed == 3

    def test_a_hold_placed_while_the_old_one_is_being_lifted_stays(self, office, monkeypatch):
        monkeypatch.setattr(liftings, "BATCH_SIZE", 1)
        first, second = office.capture(2)
        office.hold(first, second)
        agree(office, propose(office, first, second))

        placed = office.hold(first, second)
        office.lift_rest()

        assert set(placed.placed) == {first.pk, second.pk}
        assert [Conversation.objects.get(pk=one.pk).hold_count for one in (first, second)] == [1, 1]
        assert office.purge().destroyed == 0

    def test_a_lost_key_keeps_nobody_held(self, office, call):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE recordings_conversation DISABLE TRIGGER USER")
            Conversation.objects.filter(pk=call.pk).update(
                kek_name=f"kek/{office.controller.pk}/1999-01"
            )
            cursor.execute("ALTER TABLE recordings_conversation ENABLE TRIGGER USER")

        agree(office, propose(office, call))

        call.refresh_from_db()
        assert call.hold_count == 0


class TestCounts:
    def test_whatever_is_done_in_whatever_order_holds_and_counts_agree(self, office, monkeypatch):
        monkeypatch.setattr(liftings, "BATCH_SIZE", 1)
        chance = random.Random(4)
        calls = office.capture(4)
        matters = [office.matter, given.a_matter(office.controller, opened_by=office.bea)]
        refusals = (
            *(liftings.NothingToLift, liftings.ProposedAlready, liftings.LiftingSettled),
            holds.MatterClosed,
        )

        def one_more():
            office.matter = chance.choice(matters)
            some = chance.sample(calls, 2)
            waiting = list(Lifting.objects.open())
            criteria = list(Criterion.objects.standing())
            deeds = [
                *[lambda: office.hold(*some)] * 4,
                lambda: office.set_criterion(kinds=("call",)),
                *[lambda: office.apply(batch_size=3)] * 2,
                *[lambda: propose(office, *some)] * 3,
                office.lift_rest,
            ]
            if waiting:
                deeds += [lambda: agree(office, chance.choice(waiting))] * 4
            if criteria:
                deeds += [lambda: drop(office, chance.choice(criteria))] * 2
            with suppress(*refusals):
                chance.choice(deeds)()

        for _ in range(70):
            one_more()
            for conversation in Conversation.objects.all():
                active = Hold.objects.active().filter(conversation=conversation)
                assert conversation.hold_count == active.count()

        assert counted("hold.placed") - counted("hold.lifted") == Hold.objects.active().count()
        assert counted("hold.lifted") > 0


def _fail(**members: object) -> None:
    raise ZeroDivisionError
