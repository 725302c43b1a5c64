"""What is held stays, whatever path destruction comes by; and a matter opens it to its handlers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import ProtectedError

from accounts.roles import Role
from audit import clock
from audit.events import Actor
from audit.models import Event
from config.servers import Servers
from recordings.keyring import KeyringUnavailable
from recordings.models import Conversation, Dialog, Party, PermittedUse, StoredObject
from recordings.objectstore import ObjectHeld
from recordings.operations import lifecycle
from retention.models import Destruction, Hold, Matter
from retention.operations import holds, liftings, mirror
from retention.operations.purge import steps
from retention.permissions import NotEntitled
from tests.retention import given
from tests.retention.centre import counted
from tests.retention.killed_purge import Killable
from tests.retention.lifted import close
from tests.retention.office import Office

pytestmark = pytest.mark.usefixtures("silent_broker")


@pytest.fixture(scope="module")
def killable(servers: Servers) -> Iterator[Killable]:
    """A process that forks purges."""
    made = Killable(servers.environment("purge"))
    yield made
    made.stop()


class TestPlaceHold:
    def test_keeps_what_is_due(self, office):
        held, other = office.capture(2)

        placed = office.hold(held)
        tally = office.purge()

        held.refresh_from_db()
        assert placed.placed == [held.pk]
        assert (tally.held, tally.destroyed) == (1, 1)
        assert (held.state, held.hold_count) == ("kept", 1)
        assert len(office.versions_of(held)) == 2
        assert office.versions_of(other) == []

    def test_says_so_in_the_audit_log(self, office):
        (held,) = office.capture()

        office.hold(held)

        event = Event.objects.get(event_type="hold.placed")
        assert event.conversation == held.pk
        assert event.actor == str(office.bea.reference)

    def test_a_second_time_changes_nothing(self, office):
        (held,) = office.capture()
        office.hold(held)

        placed = office.hold(held)

        held.refresh_from_db()
        assert (placed.placed, placed.held_already) == ([], [held.pk])
        assert held.hold_count == 1
        assert counted("hold.placed") == 1

    def test_puts_the_key_under_the_open_one_and_lifting_puts_it_back(self, office):
        (held,) = office.capture()
        month = held.kek_name
        key = _content_key(office, held)

        office.hold(held)
        held.refresh_from_db()
        assert held.kek_name == f"kek/{office.controller.pk}/open"
        assert _content_key(office, held) == key

        office.lift(held)
        held.refresh_from_db()
        assert held.kek_name == month
        assert _content_key(office, held) == key

    def test_refuses_who_is_no_compliance_officer(self, office):
        (due,) = office.capture()

        with pytest.raises(NotEntitled):
            office.hold(due, by=office.hanna)

        assert not Hold.objects.exists()

    def test_refuses_conversations_of_another_company(self, office):
        (due,) = office.capture()
        stranger = given.a_controller("Toinen")
        lead = given.a_user("Leo", Role.COMPLIANCE_OFFICER)
        matter = given.a_matter(stranger, opened_by=lead)

        with pytest.raises(holds.NotOfThisCompany):
            office.hold(due, matter=matter, by=lead)

    def test_refuses_one_that_does_not_exist(self, office):
        (due,) = office.capture()
        due.pk = uuid4()

        with pytest.raises(holds.NotOfThisCompany):
            office.hold(due)

    def test_refuses_a_closed_matter(self, office):
        (due,) = office.capture()
        close(office.matter, people=(office.bea, office.bo), keyring=office.keyring)

        with pytest.raises(holds.MatterClosed):
            office.hold(due)

    def test_holds_nothing_when_the_audit_log_is_down(self, office):
        (due,) = office.capture()
        with connection.cursor() as cursor:
            cursor.execute(
                "REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_web"
            )

        with pytest.raises(DatabaseError):
            office.hold(due)

        due.refresh_from_db()
        assert due.hold_count == 0
        assert not Hold.objects.exists()

    def test_holds_nothing_without_the_keyring(self, office):
        (due,) = office.capture()
        office.stage.keys.chmod(0o755)

        with pytest.raises(KeyringUnavailable):
            office.hold(due)

        due.refresh_from_db()
        assert due.hold_count == 0


class TestHoldAgainstPurge:
    def test_brings_back_what_is_withdrawn_and_still_has_its_key(self, office, monkeypatch):
        (due,) = office.capture()
        monkeypatch.setattr(steps, "destroy_keys", _fail)
        with pytest.raises(ZeroDivisionError):
            office.purge()
        monkeypatch.undo()

        placed = office.hold(due)
        tally = office.purge()

        due.refresh_from_db()
        assert placed.brought_back == [due.pk]
        assert tally.destroyed == 0
        assert (due.state, due.withdrawn_at) == ("kept", None)
        assert Destruction.objects.get().recalled_at is not None
        assert counted("conversation.recalled") == 1
        assert len(office.versions_of(due)) == 2

    def test_what_was_brought_back_goes_when_the_hold_is_lifted(self, office, monkeypatch):
        (due,) = office.capture()
        monkeypatch.setattr(steps, "destroy_keys", _fail)
        with pytest.raises(ZeroDivisionError):
            office.purge()
        monkeypatch.undo()
        office.hold(due)

        office.lift(due)
        tally = office.purge()

        due.refresh_from_db()
        assert tally.destroyed == 1
        assert due.state == "destroyed"

    def test_comes_too_late_once_the_key_is_gone_and_says_since_when(self, office, monkeypatch):
        (due,) = office.capture()
        monkeypatch.setattr(steps, "write_ledger", _fail)
        with pytest.raises(ZeroDivisionError):
            office.purge()
        monkeypatch.undo()

        placed = office.hold(due)

        due.refresh_from_db()
        assert placed.placed == []
        assert placed.too_late == [holds.TooLate(due.pk, due.key_destroyed_at)]
        assert due.hold_count == 0
        assert counted("hold.too_late") == 1
        assert not Hold.objects.exists()

    def test_a_request_opened_after_withdrawal_brings_it_back_too(self, office, monkeypatch):
        (due,) = office.capture()
        whole = steps.destroy_keys

        def with_a_request(**members):
            with office.stage.acting_as("owner"):
                Conversation.objects.filter(pk=due.pk).update(open_requests=1)
            return whole(**members)

        monkeypatch.setattr(steps, "destroy_keys", with_a_request)

        tally = office.purge()

        due.refresh_from_db()
        assert tally.recalled == 1
        assert due.state == "kept"

    def test_whichever_commits_first_wins_in_every_race(self, office, killable):
        due = office.capture(40)
        killable.start(
            database_url=office.stage.environment("purge")["DATABASE_URL"],
            settings={"PURGE_BATCH_SIZE": 2},
        )

        saved, lost = [], []
        for conversation in reversed(due):
            placed = office.hold(conversation)
            saved += placed.placed
            lost += [late.conversation_id for late in placed.too_late]
        assert killable.wait() == 0

        assert len(saved) + len(lost) == 40
        for conversation in due:
            conversation.refresh_from_db()
            versions = office.versions_of(conversation)
            if conversation.pk in saved:
                assert (conversation.state, len(versions)) == ("kept", 2)
            else:
                assert (conversation.state, versions) == ("destroyed", [])


class TestLiftHold:
    def test_lets_it_go_only_when_the_last_hold_is_lifted(self, office):
        (held,) = office.capture()
        other = given.a_matter(office.controller, opened_by=office.bea)
        office.hold(held)
        office.hold(held, matter=other)

        office.lift(held)
        assert office.purge().destroyed == 0

        office.lift(held, matter=other)
        assert office.purge().destroyed == 1

    def test_refuses_what_is_not_held(self, office):
        (due,) = office.capture()

        with pytest.raises(liftings.NothingToLift):
            office.lift(due)

        assert counted("hold.lifted") == 0

    def test_waits_until_the_store_has_let_go_too(self, office):
        (held,) = office.capture()
        office.hold(held)
        office.mirror()
        office.lift(held)

        assert office.purge().destroyed == 0
        office.mirror()
        assert office.purge().destroyed == 1

    def test_closing_the_matter_lifts_all_its_holds(self, office):
        due = office.capture(3)
        office.hold(*due)

        with office.stage.acting_as("web"):
            close(office.matter, people=(office.bea, office.bo), keyring=office.keyring)

        office.matter.refresh_from_db()
        assert counted("hold.lifted") == len(due)
        assert office.matter.closed_at is not None
        assert not Conversation.objects.filter(hold_count__gt=0).exists()


class TestHandlers:
    def test_hear_what_the_matter_holds_and_nothing_else(self, office):
        held, other = office.capture(2)
        office.name_handler()

        office.hold(held)

        assert office.may_hear(office.hanna, held)
        assert not office.may_hear(office.hanna, other)
        assert not office.may_hear(office.bea, held)

    def test_named_later_hear_what_is_held_already(self, office):
        (held,) = office.capture()
        office.hold(held)

        office.name_handler()

        assert office.may_hear(office.hanna, held)
        assert counted("matter.handler_added") == 1

    def test_lose_it_at_the_instant_the_hold_is_lifted(self, office):
        (held,) = office.capture(destroy_after=clock.now() + timedelta(days=9))
        office.name_handler()
        office.hold(held)

        office.lift(held)

        assert not office.may_hear(office.hanna, held)

    def test_have_it_again_when_it_is_held_again(self, office):
        (held,) = office.capture()
        office.name_handler()
        office.hold(held)
        office.lift(held)

        office.hold(held)

        assert office.may_hear(office.hanna, held)
        assert PermittedUse.objects.filter(only_for=office.hanna).count() == 1


class TestMirror:
    def test_is_asked_for_after_commit(self, office, silent_broker):
        (held,) = office.capture()

        office.hold(held)

        name = "retention.tasks.mirror_holds"
        assert silent_broker == [{"name": name, "conversation_ids": [str(held.pk)]}]

    def test_protects_every_version_and_lets_go(self, office):
        (held,) = office.capture()
        office.hold(held)
        assert mirror.pending().count() == 2

        assert office.mirror() == 2

        assert mirror.pending().count() == 0
        assert all(_held_in_store(office, held))
        office.lift(held)
        office.mirror()
        assert not any(_held_in_store(office, held))

    def test_reaches_what_is_derived_while_it_is_held(self, office):
        (held,) = office.capture()
        office.hold(held)
        office.mirror()

        given.a_stored_object(
            held, bytes(32), part_id=uuid4(), store=office.content, body=b"words written down"
        )

        assert mirror.pending().count() == 1
        assert office.mirror() == 1
        assert _held_in_store(office, held) == [True] * 3

    def test_protected_bytes_survive_the_keys_of_web_worker_and_purge(self, office):
        (held,) = office.capture()
        office.hold(held)
        office.mirror()
        versions = [tuple(version[:2]) for version in office.versions_of(held)]

        for store in (office.listing, office.content):
            refused = store.delete_versions(versions)
            assert [type(reason) for reason in refused.values()] == [ObjectHeld, ObjectHeld]

        assert len(office.versions_of(held)) == 2

    def test_one_at_a_time(self, office):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, 0)", [mirror._LOCK])

        seen: list[BaseException] = []

        def try_it() -> None:
            try:
                mirror.mirror_holds(store=office.content, now=given.LONG_AGO)
            except mirror.MirrorBusy as busy:
                seen.append(busy)
            finally:
                connection.close()

        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
        assert len(seen) == 1


# As the owner of the tables, to whom no grant is a bar.
ATTACKS = [
    "DELETE FROM recordings_conversation",
    "DELETE FROM recordings_storedobject",
    "DELETE FROM recordings_dialog",
    "DELETE FROM recordings_rendition",
    "DELETE FROM recordings_party",
    "DELETE FROM retention_hold",
    "TRUNCATE retention_hold",
    "TRUNCATE recordings_conversation CASCADE",
    "UPDATE recordings_conversation SET state = 'withdrawn', withdrawn_at = now()",
    "UPDATE recordings_conversation SET state = 'withdrawn', withdrawn_at = now(), hold_count = 0",
    "UPDATE recordings_conversation SET state = 'destroyed', withdrawn_at = now(), hold_count = 0, "
    "wrapped_key = NULL, key_destroyed_at = now(), destroyed_at = now()",
    "UPDATE recordings_conversation SET wrapped_key = NULL, key_destroyed_at = now()",
    "UPDATE recordings_conversation SET wrapped_key = '\\x00'",
    "UPDATE recordings_conversation SET kek_name = 'kek/none'",
    "UPDATE recordings_conversation SET hold_count = 0",
    "UPDATE recordings_conversation SET id = gen_random_uuid()",
    "UPDATE recordings_storedobject SET key = 'elsewhere'",
    "UPDATE recordings_storedobject SET version_id = 'another'",
    "UPDATE recordings_dialog SET sealed_name = NULL",
    "UPDATE recordings_rendition SET sealed_body = '\\x00' WHERE sealed_body IS NOT NULL",
    "UPDATE retention_hold SET lifted_at = now()",
    "UPDATE retention_hold SET conversation_id = (SELECT id FROM recordings_conversation "
    "WHERE hold_count = 0)",
    "UPDATE retention_hold SET placed_at = now()",
]

BEYOND_EVERY_ROLE = [
    "DELETE FROM recordings_conversation",
    "UPDATE recordings_conversation SET id = gen_random_uuid()",
    "TRUNCATE recordings_conversation CASCADE",
    "ALTER TABLE recordings_conversation DISABLE TRIGGER ALL",
]


class TestHeldIsUntouchable:
    def test_by_plain_sql_of_the_owner(self, office, subtests):
        held, _other = office.capture(2)
        office.hold(held)

        for attack in ATTACKS:
            with subtests.test(attack), pytest.raises(DatabaseError):
                _execute(attack)

        held.refresh_from_db()
        assert (held.state, held.hold_count) == ("kept", 1)
        assert _content_key(office, held)
        assert Dialog.objects.filter(conversation=held).count() == 1
        assert len(office.versions_of(held)) == 2

    def test_by_the_shell(self, office):
        (held,) = office.capture()
        office.hold(held)

        for rows in (
            Conversation.objects.filter(pk=held.pk),
            Hold.objects.all(),
            StoredObject.objects.all(),
            Dialog.objects.all(),
            Party.objects.all(),
            Matter.objects.all(),
        ):
            with pytest.raises((DatabaseError, ProtectedError)), transaction.atomic():
                rows.delete()
        with pytest.raises(DatabaseError), transaction.atomic():
            Conversation.objects.filter(pk=held.pk)._raw_delete("default")

        assert Conversation.objects.filter(pk=held.pk, state="kept").exists()

    def test_by_the_operations_themselves(self, office):
        (held,) = office.capture()
        office.hold(held)
        actor = Actor.system("purge")

        withdrawn = lifecycle.withdraw(
            conversation_ids=[held.pk], run_id=uuid4(), actor=actor, now=clock.now()
        )
        destroyed = lifecycle.destroy_keys(run_of={held.pk: uuid4()}, actor=actor, now=clock.now())
        concluded = lifecycle.conclude(run_of={held.pk: uuid4()}, actor=actor, now=clock.now())

        held.refresh_from_db()
        assert (withdrawn, destroyed.destroyed, concluded) == ([], [], [])
        assert held.state == "kept"

    def test_a_hold_that_plain_sql_inserts_bars_nothing_silently(self, office):
        (due,) = office.capture()

        with pytest.raises(DatabaseError, match="counted"), transaction.atomic():
            Hold.objects.create(matter=office.matter, conversation=due, placed_at=clock.now())

    def test_by_the_rights_of_any_process(self, office, subtests):
        (kept,) = office.capture(destroy_after=clock.now() + timedelta(days=1))

        for role in ("web", "work", "purge"):
            with office.stage.acting_as(role):
                for statement in BEYOND_EVERY_ROLE:
                    with (
                        subtests.test(f"{role}: {statement}"),
                        pytest.raises(
                            DatabaseError, match=r"permission denied|must be owner|is refused"
                        ),
                    ):
                        _execute(statement)

        assert Conversation.objects.filter(pk=kept.pk, state="kept").exists()


class TestDestroyedStaysDestroyed:
    def test_and_so_does_its_proof(self, office, subtests):
        office.capture()
        office.purge()

        for attack in (
            "UPDATE recordings_conversation SET state = 'kept', destroyed_at = NULL",
            "UPDATE recordings_conversation SET external_id = 'back'",
            "DELETE FROM recordings_conversation",
            "UPDATE retention_destruction SET concluded_at = NULL",
            "UPDATE retention_destruction SET objects_destroyed = '[]'",
            "DELETE FROM retention_destruction",
            "TRUNCATE retention_destruction",
        ):
            with subtests.test(attack), pytest.raises(DatabaseError):
                _execute(attack)

        assert Conversation.objects.get().state == "destroyed"
        assert Destruction.objects.get().concluded_at is not None


def _execute(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def _content_key(office: Office, conversation: Conversation) -> bytes:
    assert conversation.wrapped_key is not None
    return office.keyring.unwrap(
        kek_name=conversation.kek_name,
        wrapped_key=bytes(conversation.wrapped_key),
        context=conversation.pk.bytes,
    )


def _held_in_store(office: Office, conversation: Conversation) -> list[bool]:
    return [
        office.content.get_legal_hold(version.key, version.version_id)
        for version in office.versions_of(conversation)
    ]


def _fail(**members: object) -> None:
    raise ZeroDivisionError
