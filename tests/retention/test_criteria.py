"""What matches a criterion is held: what was there when it was set, and what is captured later."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.models import Team
from audit import clock
from audit.events import Actor
from config.servers import Servers
from recordings.models import Conversation
from retention.explanation import Explanation, Next
from retention.models import Criterion, Destruction, Hold
from retention.operations import criteria, holds, placing
from retention.operations.cover import cover
from retention.operations.explain import explain
from retention.operations.liftings import agree_to_lifting, propose_closing, propose_dropping
from retention.operations.purge import steps
from retention.permissions import NotEntitled
from tests.retention import given
from tests.retention.centre import counted
from tests.retention.killed_purge import Killable
from tests.retention.lifted import REASON, close
from tests.retention.office import Office

LATER = timedelta(days=9)
PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="module")
def killable(servers: Servers) -> Iterator[Killable]:
    """A process that forks purges."""
    made = Killable(servers.environment("purge"))
    yield made
    made.stop()


def held(office: Office, *conversations: Conversation) -> list[int]:
    """How many holds are counted on each, which are as many as there are."""
    found = []
    for conversation in conversations:
        conversation.refresh_from_db()
        assert (
            conversation.hold_count
            == Hold.objects.active().filter(conversation=conversation).count()
        )
        found.append(conversation.hold_count)
    return found


class TestSetCriterion:
    def test_holds_what_matches_and_nothing_else(self, office):
        now = clock.now()
        old = office.capture(2, ended_at=now - timedelta(days=100))
        new = office.capture(2, ended_at=now - timedelta(days=10))

        made = office.set_criterion(ended_from=now - timedelta(days=50))
        office.apply()

        made.refresh_from_db()
        assert held(office, *old, *new) == [0, 0, 1, 1]
        assert (made.total_count, made.done_count, made.applied_at is None) == (2, 2, False)
        assert [counted(f"criterion.{what}") for what in ("set", "applied")] == [1, 1]
        assert counted("hold.placed") == 2

    def test_matches_only_what_all_of_it_says(self, office, subtests):
        (call,) = office.capture(destroy_after=clock.now() + LATER)
        party = call.parties.get(role="agent")
        party.user = office.hanna
        party.save()
        (segment,) = call.segments.all()
        customer = bytes(call.parties.get(role="customer").data_subject.identifier_hash)
        fits = {
            "kinds": ("call",),
            "teams": (segment.team_id,),
            "source_id": office.source.pk,
            "ended_from": call.ended_at,
            "ended_until": call.ended_at + timedelta(seconds=1),
            "agent": office.hanna.reference,
            "customer_hash": customer,
        }
        others = {
            "kinds": ("chat",),
            "teams": (Team.objects.create(slug="x", name="X", employer=office.controller).pk,),
            "queues": (uuid4(),),
            "source_id": given.a_source(office.controller).pk,
            "ended_from": call.ended_at + timedelta(seconds=1),
            "ended_until": call.ended_at,
            "agent": office.bea.reference,
            "customer_hash": os.urandom(32),
        }

        def number(said):
            draft = criteria.Draft(**said)
            return criteria.count_matching(matter=office.matter, draft=draft)

        assert number(fits) == 1
        for name, value in others.items():
            with subtests.test(name):
                bounds = {"ended_from": None, "ended_until": None} if "ended" in name else {}
                assert number({**fits, **bounds, name: value}) == 0

    def test_leaves_another_company_alone(self, office):
        (theirs,) = Office(office.stage).capture()

        office.set_criterion(kinds=("call",))
        office.apply()

        assert held(office, theirs) == [0]

    def test_refuses_to_say_nothing_and_an_end_before_the_beginning(self, office):
        now = clock.now()
        with pytest.raises(criteria.CriterionSaysNothing):
            office.set_criterion()
        with pytest.raises(criteria.EndsBeforeItBegins):
            office.set_criterion(ended_from=now, ended_until=now)

        assert not Criterion.objects.exists()

    def test_refuses_who_is_no_compliance_officer_and_a_closed_matter(self, office):
        office.bea, bea = office.hanna, office.bea
        with pytest.raises(NotEntitled):
            office.set_criterion(kinds=("call",))
        office.bea = bea
        close(office.matter, people=(office.bea, office.bo), keyring=office.keyring)
        with pytest.raises(holds.MatterClosed):
            office.set_criterion(kinds=("call",))

        assert not Criterion.objects.exists()

    def test_a_second_one_holds_for_itself(self, office):
        (call,) = office.capture(destroy_after=clock.now() + LATER)
        office.set_criterion(kinds=("call",))
        office.set_criterion(source_id=office.source.pk)
        office.hold(call)

        office.apply()

        assert held(office, call) == [3]

    def test_handlers_hear_what_it_holds(self, office):
        (call,) = office.capture(destroy_after=clock.now() + LATER)
        office.name_handler()

        office.set_criterion(kinds=("call",))
        office.apply()

        assert office.may_hear(office.hanna, call)

    def test_sets_nothing_when_the_audit_log_is_down(self, office):
        with connection.cursor() as cursor:
            cursor.execute(
                "REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_web"
            )

        with pytest.raises(DatabaseError):
            office.set_criterion(kinds=("call",))

        assert not Criterion.objects.exists()

    def test_never_changes(self, office, subtests):
        made = office.set_criterion(kinds=("call",))

        for change in ("kinds = '{chat}'", "ended_until = now()", "dropped_at = now()"):
            with (
                subtests.test(change),
                pytest.raises(DatabaseError, match="by two persons"),
                transaction.atomic(),
                connection.cursor() as cursor,
            ):
                cursor.execute(f"UPDATE retention_criterion SET {change}")
        with pytest.raises(DatabaseError), transaction.atomic():
            made.delete()


class TestApply:
    def test_killed_half_way_goes_on_where_it_stood(self, office, monkeypatch):
        calls = office.capture(5, destroy_after=clock.now() + LATER)
        made = office.set_criterion(kinds=("call",))
        with office.stage.acting_as("work"):
            criteria.apply_next(now=clock.now(), keyring=office.keyring, batch_size=2)
            monkeypatch.setattr(placing.mirror, "request", _fail)
            with pytest.raises(ZeroDivisionError):
                criteria.apply_next(now=clock.now(), keyring=office.keyring, batch_size=2)
        monkeypatch.undo()
        assert sum(held(office, *calls)) == 2

        office.apply()

        made.refresh_from_db()
        assert held(office, *calls) == [1] * 5
        assert (made.done_count, counted("hold.placed")) == (5, 5)

    def test_a_lost_key_leaves_neither_its_conversation_nor_the_others_unheld(self, office):
        lost, *others = office.capture(3, destroy_after=clock.now() + LATER)
        Conversation.objects.filter(pk=lost.pk).update(
            kek_name=f"kek/{office.controller.pk}/1999-01"
        )

        office.set_criterion(kinds=("call",))
        office.apply(batch_size=9)

        assert held(office, lost, *others) == [1, 1, 1]

    def test_brings_back_what_is_withdrawn_and_says_what_it_is_too_late_for(
        self, office, monkeypatch
    ):
        (gone,) = office.capture()
        monkeypatch.setattr(steps, "write_ledger", _fail)
        with pytest.raises(ZeroDivisionError):
            office.purge()
        monkeypatch.undo()
        (going,) = office.capture()
        monkeypatch.setattr(steps, "destroy_keys", _fail)
        with pytest.raises(ZeroDivisionError):
            office.purge()
        monkeypatch.undo()

        made = office.set_criterion(kinds=("call",))
        office.apply()

        made.refresh_from_db()
        going.refresh_from_db()
        assert held(office, gone, going) == [0, 1]
        assert going.state == "kept"
        assert (made.done_count, made.too_late_count) == (2, 1)
        assert counted("hold.too_late") == 1

    def test_holds_nothing_while_the_audit_log_is_down(self, office):
        (call,) = office.capture()
        office.set_criterion(kinds=("call",))
        with connection.cursor() as cursor:
            cursor.execute(
                "REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_work"
            )

        with pytest.raises(DatabaseError):
            office.apply()

        assert held(office, call) == [0]
        assert office.purge().destroyed == 0


class TestAgainstPurge:
    def test_bars_destruction_before_it_has_been_applied(self, office):
        matched, other = office.capture(2)

        office.set_criterion(**only(matched))
        tally = office.purge()

        matched.refresh_from_db()
        other.refresh_from_db()
        assert tally.destroyed == 1
        assert answer_for(matched).next is Next.HELD
        assert (matched.state, matched.hold_count, other.state) == ("kept", 0, "destroyed")

    def test_brings_back_what_is_withdrawn_before_it_has_been_applied(self, office, monkeypatch):
        (due,) = office.capture()
        monkeypatch.setattr(steps, "destroy_keys", _fail)
        with pytest.raises(ZeroDivisionError):
            office.purge()
        monkeypatch.undo()

        office.set_criterion(kinds=("call",))
        Destruction.objects.update(leased_until=given.LONG_AGO)
        tally = office.purge()

        due.refresh_from_db()
        assert (tally.recalled, tally.destroyed) == (1, 0)
        assert due.state == "kept"

    def test_whichever_commits_first_wins_in_every_race(self, office, killable):
        due = office.capture(36)
        said = {conversation: only(conversation) for conversation in due}
        killable.start(
            database_url=office.stage.environment("purge")["DATABASE_URL"],
            settings={"PURGE_BATCH_SIZE": 2},
        )

        late = set()
        for conversation in reversed(due):
            office.set_criterion(**said[conversation])
            conversation.refresh_from_db()
            if conversation.key_destroyed_at is not None:
                late.add(conversation.pk)
        assert killable.wait() == 0
        office.apply(batch_size=50)

        for conversation in due:
            conversation.refresh_from_db()
            is_gone = conversation.pk in late
            assert (conversation.state, conversation.hold_count) == (
                ("destroyed", 0) if is_gone else ("kept", 1)
            )
        assert late
        assert len(late) < len(due)


class TestCapture:
    def test_what_is_captured_later_is_held_with_all_its_objects(self, centre, monkeypatch):
        told = []
        monkeypatch.setattr(
            placing.mirror, "request", lambda *, conversation_ids: told.extend(conversation_ids)
        )
        matter = centre.matter_of()
        with centre.stage.acting_as("web"):
            criteria.set_criterion(
                matter=matter,
                draft=criteria.Draft(kinds=("call",), teams=(centre.claims.pk,)),
                set_by=centre.olga,
                now=clock.now(),
            )

        call, chat, other = centre.call(), centre.chat(), centre.call(of=centre.sales)

        assert held(centre, call, chat, other) == [1, 0, 0]
        assert told == [call.pk]
        assert call.kek_name.endswith("/open")
        assert (
            Conversation.objects.open_to(
                user=centre.casper, purpose=given.a_purpose("matter"), at=clock.now()
            ).get()
            == call
        )

    def test_under_way_is_waited_for_and_held_when_it_is_applied(self, office):
        (call,) = office.capture()
        covered, may_commit, order = threading.Event(), threading.Event(), []

        def capture_slowly():
            with transaction.atomic():
                cover(conversation=call, now=clock.now(), keyring=office.keyring)
                covered.set()
                may_commit.wait(PATIENCE_SECONDS)
                order.append("captured")
            connection.close()

        def set_criterion():
            criteria.set_criterion(
                matter=office.matter,
                draft=criteria.Draft(kinds=("call",)),
                set_by=office.bea,
                now=clock.now(),
            )
            order.append("set")
            connection.close()

        threads = [threading.Thread(target=one) for one in (capture_slowly, set_criterion)]
        threads[0].start()
        covered.wait(PATIENCE_SECONDS)
        threads[1].start()
        while not _somebody_waits_for_an_advisory_lock():
            pass
        may_commit.set()
        for thread in threads:
            thread.join()
        office.apply()

        assert order == ["captured", "set"]
        assert held(office, call) == [1]

    def test_is_not_held_for_what_has_been_dropped_or_closed(self, centre):
        olga, oona = centre.olga, given.a_user("Oona", "compliance_officer")
        dropped, closed = centre.matter_of(), centre.matter_of()
        for matter in (dropped, closed):
            criterion = criteria.set_criterion(
                matter=matter,
                draft=criteria.Draft(kinds=("call",)),
                set_by=olga,
                now=clock.now(),
            )
            said = {"reason": REASON, "proposed_by": olga, "now": clock.now()}
            lifting = (
                propose_dropping(criterion=criterion, **said)
                if matter == dropped
                else propose_closing(matter=matter, **said)
            )
            agree_to_lifting(
                lifting=lifting, agreed_by=oona, keyring=centre.keyring(), now=clock.now()
            )

        assert held(centre, centre.call()) == [0]


def answer_for(conversation: Conversation) -> Explanation:
    """What is explained of it now."""
    return explain(conversation_id=conversation.pk, actor=Actor.system("explain"), now=clock.now())


def only(conversation: Conversation) -> dict[str, object]:
    """What is said of this conversation and no other: its customer."""
    subject = conversation.parties.get(role="customer").data_subject
    assert subject is not None
    return {"customer_hash": bytes(subject.identifier_hash)}


def _somebody_waits_for_an_advisory_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
            "WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


def _fail(**members: object) -> None:
    raise ZeroDivisionError
