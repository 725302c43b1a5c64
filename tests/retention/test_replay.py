"""A restored backup brings nothing back: it stays closed until the ledger has been replayed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import IntegrityError, connections
from django.test import override_settings
from django.utils import translation

from audit import clock, verify
from audit.checks import NotOpen, refuse_unless_open
from audit.models import Event
from recordings.models import Conversation, Party
from recordings.objectstore import ObjectStore, StoreUnavailable
from retention import ledger, tasks
from retention.models import Destruction, LedgerEntry, PurgeRun
from retention.operations import opening
from retention.operations.purge import steps
from retention.operations.purge.replay import Replayed, replay
from retention.operations.purge.run import PurgeStopped
from tests.harness.commands import environment, manage
from tests.harness.session import ROOT
from tests.harness.stops import stopped_at, wait_for_it
from tests.retention import given, restored
from tests.retention.centre import Centre, counted
from tests.retention.certified import certify, file_of, keys_of

ROLES = ("web", "work", "purge")


@pytest.fixture
def centre(stage):
    """A company at work, on the stage of this test."""
    return Centre(stage)


def lose(centre: Centre, *, count: int = 1, before=None) -> list[Conversation]:
    """Conversations that were destroyed after the backup that is now restored."""
    due = centre.capture(count)
    if before:
        before(due)
    backup = restored.copy(centre.stage)
    if before:
        _undo(due)
    centre.purge()
    restored.put_back(centre.stage, backup)
    opening.forget()
    return due


def _undo(due) -> None:
    ids = [one.pk for one in due]
    Conversation.objects.filter(pk__in=ids).update(
        open_requests=0, destroy_after=clock.now() - timedelta(seconds=1)
    )


def run_replay(centre: Centre, **changed) -> Replayed:
    """One replay, with the rights of the purge."""
    with centre.stage.acting_as("purge"):
        return replay(
            **{
                "reader": ObjectStore.for_anchor_reading(),
                "content": centre.listing,
                "anchor": centre.anchor,
                "clock": clock.now,
                **changed,
            }
        )


@pytest.fixture(autouse=True)
def in_english():
    """Read the reasons in the language of the tests."""
    with translation.override("en"):
        yield


def reason(centre: Centre, role: str = "web", *, is_new: bool = True) -> str | None:
    """Why a process that has just started is closed; None if it is open."""
    if is_new:
        opening.forget()
    with centre.stage.acting_as(role):
        try:
            refuse_unless_open()
        except NotOpen as closed:
            return str(closed.args[0])
    return None


def is_gone(centre: Centre, conversation: Conversation) -> bool:
    """Whether nothing is left but a residual record."""
    conversation.refresh_from_db()
    return (
        conversation.state == "destroyed"
        and conversation.wrapped_key is None
        and not Party.objects.filter(conversation=conversation).exists()
        and centre.versions_of(conversation) == []
    )


def age(seconds: float) -> None:
    """Let that many seconds pass for the door of this process."""
    for name in ("answered_at", "asked_at", "glanced_at"):
        if (at := getattr(opening._door, name)) is not None:
            setattr(opening._door, name, at - seconds)


class TestRestoredBackup:
    def test_of_pg_dump_is_closed_until_replayed_and_then_nothing_is_back(self, centre, tmp_path):
        (due,) = centre.capture()
        (kept,) = centre.capture(destroy_after=clock.now() + timedelta(days=9))
        backup = restored.dump(centre.stage, tmp_path / "backup")
        centre.purge()
        restored.restore(centre.stage, backup)
        due.refresh_from_db()
        assert due.wrapped_key is not None
        assert all("restored from a backup" in (reason(centre, role) or "") for role in ROLES)
        with pytest.raises(PurgeStopped, match="restored from a backup"):
            centre.purge()

        done = run_replay(centre)

        assert (done.named, done.destroyed_again, done.contradicted) == (1, 1, [])
        assert is_gone(centre, due)
        assert [reason(centre, role) for role in ROLES] == [None, None, None]
        kept.refresh_from_db()
        assert kept.state == "kept"
        assert len(centre.versions_of(kept)) == 2
        assert centre.purge().due == 0

    def test_events_and_certificate_line_name_the_ledger(self, centre):
        (due,) = lose(centre)

        done = run_replay(centre)

        line = Destruction.objects.get()
        assert line.run_id == done.run_id
        assert line.ledger_key == LedgerEntry.objects.get().key
        assert line.destroy_after <= line.withdrawn_at
        assert line.concluded_at is not None
        run = PurgeRun.objects.get()
        assert (run.actor, run.state) == ("system:replay", "finished")
        events = Event.objects.filter(conversation=due.pk).order_by("id")
        facts = {one.event_type: json.loads(one.body).get("x", {}) for one in events}
        for name in ("conversation.withdrawn", "content_key.destroyed"):
            assert facts[name]["reason"] == "ledger"
        assert facts["conversation.destroyed"]["run"] == str(done.run_id)
        assert counted("ledger.replayed") == 1
        (certificate,) = certify(centre.stage)
        checked = verify.check_certificate(file_of(certificate), keys_of(certificate))
        assert checked.said["lines"][0]["ledger"] == line.ledger_key

    def test_is_noticed_by_a_process_that_was_not_started_anew(self, centre):
        due = centre.capture()
        backup = restored.copy(centre.stage)
        centre.purge()
        assert reason(centre) is None
        restored.put_back(centre.stage, backup)

        age(opening.GLANCE_SECONDS)

        assert "restored from a backup" in (reason(centre, is_new=False) or "")
        run_replay(centre)
        age(opening.ASK_AGAIN_SECONDS)
        assert reason(centre, is_new=False) is None
        assert is_gone(centre, due[0])

    def test_captured_after_the_backup_there_is_nothing_to_destroy(self, centre):
        backup = restored.copy(centre.stage)
        centre.capture(2)
        centre.purge()
        restored.put_back(centre.stage, backup)

        assert reason(centre) is None
        done = run_replay(centre)

        assert (done.entries, done.never_known, done.destroyed_again) == (1, 2, 0)
        assert not PurgeRun.objects.exists()
        assert run_replay(centre).entries == 0

    def test_from_the_middle_of_a_destruction_goes_on(self, centre, monkeypatch):
        (due,) = centre.capture()
        with monkeypatch.context() as patch:
            patch.setattr(steps, "destroy_keys", _fail)
            with pytest.raises(RuntimeError):
                centre.purge()
        backup = restored.copy(centre.stage)
        Destruction.objects.update(leased_until=None)
        centre.purge()
        restored.put_back(centre.stage, backup)
        assert reason(centre) is not None

        run_replay(centre)

        assert is_gone(centre, due)
        assert Destruction.objects.get().ledger_key == LedgerEntry.objects.get().key
        assert reason(centre) is None


def _fail(**_):
    raise RuntimeError("stopped")


class TestReplay:
    def test_the_second_time_does_nothing(self, centre):
        lose(centre, count=3)
        run_replay(centre)
        events = Event.objects.count()

        done = run_replay(centre)

        assert (done.entries, done.destroyed_again) == (0, 0)
        assert Event.objects.count() == events

    def test_two_at_once_destroy_each_once(self, centre, monkeypatch):
        due = lose(centre, count=4)
        whole, both = ledger.read, threading.Barrier(2)

        def together(*arguments):
            entry = whole(*arguments)
            both.wait(timeout=20)
            return entry

        monkeypatch.setattr(ledger, "read", together)
        done: list[Replayed] = []

        def one() -> None:
            try:
                done.append(
                    replay(reader=reader, content=centre.listing, anchor=centre.anchor, clock=now)
                )
            finally:
                connections.close_all()

        now = clock.now
        with centre.stage.acting_as("purge"):
            reader = ObjectStore.for_anchor_reading()
            threads = [threading.Thread(target=one) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        run_replay(centre)

        assert sum(each.destroyed_again for each in done) == 4
        assert all(is_gone(centre, one) for one in due)
        assert counted("conversation.destroyed") == Destruction.objects.count() == 4
        assert reason(centre) is None

    def test_killed_before_it_deletes_it_stays_closed_and_goes_on(self, centre):
        (due,) = lose(centre)
        stop = {"table": "recordings_conversation", "condition": "NEW.state = 'destroyed'"}
        with stopped_at(centre.stage, **stop):
            killed = subprocess.Popen(
                [sys.executable, "manage.py", "replay_destructions"],
                cwd=ROOT,
                env=environment(centre.stage, "purge"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            wait_for_it(centre.stage)
            killed.kill()
            killed.wait()
        due.refresh_from_db()
        assert (due.state, due.wrapped_key) == ("withdrawn", None)
        assert not LedgerEntry.objects.exists()

        again = manage(centre.stage, "replay_destructions", "--json", role="purge")

        assert (again.code, again.answer["destroyed_before"]) == (0, 1), again.err
        assert is_gone(centre, due)
        assert counted("content_key.destroyed") == counted("conversation.destroyed") == 1

    def test_what_the_store_does_not_delete_keeps_it_closed(self, centre, monkeypatch):
        (due,) = lose(centre)
        (row,) = due.stored_objects.all()[:1]
        with centre.stage.acting_as("work"):
            version = ObjectStore.for_content().put(row.key, b"left there", legal_hold=True)

        done = run_replay(centre)

        assert done.to_be_tried_again == 1
        assert not LedgerEntry.objects.exists()
        with centre.stage.acting_as("work"):
            ObjectStore.for_content().put_legal_hold(row.key, version, is_held=False)
        Destruction.objects.update(next_try_at=None)
        assert run_replay(centre).to_be_tried_again == 0
        assert is_gone(centre, due)

    def test_a_later_version_over_an_entry_changes_nothing(self, centre, servers):
        (due,) = centre.capture()
        backup = restored.copy(centre.stage)
        centre.purge()
        key = LedgerEntry.objects.get().key
        servers.s3("admin").put_object(
            Bucket=settings.S3_ANCHOR_BUCKET, Key=key, Body=b'{"v":1,"destroyed":[]}'
        )
        servers.s3("admin").delete_object(Bucket=settings.S3_ANCHOR_BUCKET, Key=key)
        restored.put_back(centre.stage, backup)
        assert reason(centre) is not None

        run_replay(centre)

        assert is_gone(centre, due)

    def test_an_entry_that_is_none_needs_a_person_and_opens_nothing(self, centre, servers):
        key = f"{ledger.folder()}2026/11/01/x.json"
        servers.s3("anchor").put_object(Bucket=settings.S3_ANCHOR_BUCKET, Key=key, Body=b"[]")

        assert key in (reason(centre) or "")
        with pytest.raises(ledger.LedgerUnreadable):
            run_replay(centre)


class TestContradiction:
    """What the rows say is to be kept is not destroyed on the word of one object in a bucket."""

    def forge(self, centre, conversation) -> None:
        line = Destruction(
            run_id=conversation.pk,
            conversation_id=conversation.pk,
            controller_id=conversation.controller_id,
            ended_at=conversation.ended_at,
            key_destroyed_at=clock.now(),
        )
        key = ledger.key_of([line], token=1)
        body = ledger.body_of([line], now=clock.now())
        centre.anchor.put_locked(key, body, retain_until=clock.now() + timedelta(seconds=5))

    def test_one_that_is_not_due_and_lies_in_the_store_is_closed_until_believed(self, centre):
        (kept,) = centre.capture(destroy_after=clock.now() + timedelta(days=9))
        self.forge(centre, kept)
        assert reason(centre) is not None

        done = run_replay(centre)

        kept.refresh_from_db()
        assert (done.contradicted, kept.state) == ([kept.pk], "kept")
        assert kept.closed_at is not None
        assert counted("conversation.closed") == 1
        assert len(centre.versions_of(kept)) == 2
        assert reason(centre) is None
        with centre.stage.acting_as("purge"), pytest.raises(IntegrityError, match="by a person"):
            Conversation.objects.filter(pk=kept.pk).update(closed_at=None)
        assert run_replay(centre, believed=[kept.pk]).destroyed_again == 1
        assert is_gone(centre, kept)
        assert LedgerEntry.objects.get().contradicted == []

    def test_a_held_one_is_never_destroyed(self, centre):
        (held,) = centre.capture()
        matter = given.a_matter(centre.controller)
        Conversation.objects.filter(pk=held.pk).update(hold_count=1)
        matter.holds.create(conversation=held, placed_at=clock.now())
        self.forge(centre, held)

        done = run_replay(centre, believed=[held.pk])

        held.refresh_from_db()
        assert (done.contradicted, held.state) == ([held.pk], "kept")
        assert held.wrapped_key is not None
        assert held.closed_at is not None

    def test_one_whose_end_moved_after_the_backup_and_that_is_gone_goes(self, centre):
        later = clock.now() + timedelta(days=9)

        def keep_longer(due):
            ids = [one.pk for one in due]
            Conversation.objects.filter(pk__in=ids).update(destroy_after=later, open_requests=1)

        (due,) = lose(centre, before=keep_longer)

        done = run_replay(centre)

        assert (done.destroyed_again, done.contradicted) == (1, [])
        assert is_gone(centre, due)
        line = Destruction.objects.get()
        assert line.destroy_after <= line.withdrawn_at


class TestOpen:
    def test_what_a_killed_purge_has_not_noted_closes_nothing(self, centre, monkeypatch):
        (due,) = centre.capture()
        with monkeypatch.context() as patch:
            patch.setattr(steps, "_note_ledger", _fail)
            with pytest.raises(RuntimeError):
                centre.purge()

        assert reason(centre) is None
        Destruction.objects.update(leased_until=None)
        centre.purge()
        assert is_gone(centre, due)
        assert reason(centre) is None

    def test_while_the_store_is_away_nothing_opens_and_what_was_open_stays_a_while(
        self, centre, monkeypatch
    ):
        assert reason(centre) is None

        def away(**_):
            raise StoreUnavailable

        monkeypatch.setattr(ObjectStore, "list_oldest", lambda *_, **__: away())
        with centre.stage.acting_as("web"):
            age(opening.GRACE_SECONDS - 1)
            opening._ask(opening._door)
            refuse_unless_open()
            age(2)
            opening._ask(opening._door)
            with pytest.raises(NotOpen, match="cannot be asked"):
                refuse_unless_open()
        assert "cannot be asked" in (reason(centre) or "")

    def test_another_bucket_or_name_of_the_installation_opens_nothing(self, centre, monkeypatch):
        centre.capture()
        centre.purge()
        assert reason(centre) is None

        with monkeypatch.context() as patch:
            patch.setattr(ObjectStore, "list_oldest", lambda *_, **__: iter(()))
            assert "anchor bucket" in (reason(centre) or "")
        opening.forget()
        with centre.stage.acting_as("web"), override_settings(AUDIT_ORIGIN="other/tallenne"):
            with pytest.raises(NotOpen, match="AUDIT_ORIGIN"):
                refuse_unless_open()

    def test_pages_answer_503_with_the_reason_and_tasks_and_commands_refuse(self, centre, visitor):
        lose(centre)

        page, health = visitor.get("/account/login/"), visitor.get("/healthz")

        assert (page.status, health.status) == (503, 503)
        assert "manage.py replay_destructions" in page.text
        assert json.loads(health.text)["status"] == "closed"
        for role, task in (("work", tasks.recompute_uses), ("purge", tasks.purge)):
            with centre.stage.acting_as(role), pytest.raises(NotOpen):
                task()
        captured = manage(centre.stage, "capture", "/tmp", "--source", "x", role="work")
        assert captured.code == 1
        assert "replay_destructions" in captured.err
        run_replay(centre)
        age(opening.ASK_AGAIN_SECONDS)
        assert visitor.get("/account/login/").status == 200
