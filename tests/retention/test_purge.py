"""The purge destroys what is due, all of it and once, and nothing of what is kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.test import override_settings
from uuid_utils.compat import uuid7

from audit import clock
from audit.models import Event
from recordings.models import (
    BusinessReference,
    Conversation,
    Dialog,
    Party,
    PermittedUse,
    Rendition,
    Segment,
    StoredObject,
)
from recordings.objectstore import (
    ObjectStore,
    StoreRefused,
    StoreUnavailable,
)
from retention.models import Destruction, LedgerEntry, PurgeRun
from retention.operations.purge import leases, steps
from retention.operations.purge.run import PurgeStopped
from tests.harness.roles import Stage
from tests.retention import given
from tests.retention.centre import Centre, counted


@pytest.fixture
def centre(stage: Stage) -> Centre:
    """A company at work, on the stage of this test."""
    return Centre(stage)


class TestDestroysNothingOfWhatIsKept:
    def test_leaves_alone_what_is_not_due(self, centre):
        (kept,) = centre.capture(destroy_after=clock.now() + timedelta(hours=1))

        tally = centre.purge()

        kept.refresh_from_db()
        assert (tally.due, tally.destroyed) == (0, 0)
        assert kept.state == "kept"
        assert kept.wrapped_key is not None
        assert len(centre.versions_of(kept)) == 2

    def test_leaves_alone_what_no_rule_covers(self, centre):
        (kept,) = centre.capture()
        Conversation.objects.filter(pk=kept.pk).update(destroy_after=None)

        centre.purge()

        kept.refresh_from_db()
        assert kept.state == "kept"

    def test_leaves_alone_what_a_data_subject_asks_about(self, centre):
        (kept,) = centre.capture()
        Conversation.objects.filter(pk=kept.pk).update(open_requests=1)

        tally = centre.purge()

        kept.refresh_from_db()
        assert tally.requested == 1
        assert kept.state == "kept"

    @pytest.mark.parametrize("unreleased", ["source", "controller"])
    def test_only_observes_until_two_people_release_it(self, centre, unreleased):
        (kept,) = centre.capture()
        centre.source.released_at = None if unreleased == "source" else given.LONG_AGO
        centre.controller.rules_released_at = None if unreleased == "controller" else given.LONG_AGO
        centre.source.save()
        centre.controller.save()

        tally = centre.purge()

        kept.refresh_from_db()
        assert tally.observed == 1
        assert kept.state == "kept"
        assert not PurgeRun.objects.exists()

    def test_leaves_alone_the_neighbours_in_the_same_folder(self, centre):
        day = clock.now() - timedelta(days=100)
        far_off = clock.now() + timedelta(days=1)
        neighbours = centre.capture(2, ended_at=day, destroy_after=far_off)
        centre.capture(3, ended_at=day)
        neighbours += centre.capture(2, ended_at=day, destroy_after=far_off)

        tally = centre.purge()

        assert tally.destroyed == 3
        for neighbour in neighbours:
            neighbour.refresh_from_db()
            assert neighbour.state == "kept"
            assert len(centre.versions_of(neighbour)) == 2


class TestDestroysWhatIsDue:
    def test_nothing_is_left_but_a_residual_record(self, centre):
        (due,) = centre.capture()

        tally = centre.purge()

        due.refresh_from_db()
        assert (tally.withdrawn, tally.destroyed) == (1, 1)
        assert due.state == "destroyed"
        assert due.wrapped_key is None
        assert due.kek_name == ""
        assert due.external_id == ""
        assert (due.tags, due.outcome) == ([], "")
        for model in (Dialog, Rendition, StoredObject, Party, BusinessReference):
            assert not model.objects.exists()
        assert Segment.objects.get().agent is None
        assert centre.versions_of(due) == []

    def test_its_certificate_line_says_what_was_done(self, centre):
        (due,) = centre.capture()
        (use,) = PermittedUse.objects.all()
        stored = {(row.key, row.version_id) for row in StoredObject.objects.all()}

        centre.purge()

        line = Destruction.objects.get()
        assert line.conversation == due
        assert line.rule_versions == [use.authority]
        assert {(key, version) for key, version, _ in line.objects_destroyed} == stored
        assert all(len(digest) == 64 for _, _, digest in line.objects_destroyed)
        times = [
            line.withdrawn_at,
            line.key_destroyed_at,
            line.deleted_at,
            line.confirmed_at,
            line.concluded_at,
        ]
        assert times == sorted(filter(None, times))

    def test_the_ledger_lies_locked_outside_the_database(self, centre, servers):
        (due,) = centre.capture()

        centre.purge()

        line = Destruction.objects.get()
        bucket = settings.S3_ANCHOR_BUCKET
        answer = servers.s3("admin").get_object(Bucket=bucket, Key=line.ledger_key)
        assert str(due.pk) in answer["Body"].read().decode()
        assert answer["ObjectLockMode"] == "COMPLIANCE"
        folder = f"ledger/{centre.stage.database}/tallenne/{line.key_destroyed_at:%Y/%m/%d}"
        assert line.ledger_key.startswith(f"{folder}/{line.run_id}/")
        assert LedgerEntry.objects.get().key == line.ledger_key

    def test_every_step_is_in_the_audit_log_once(self, centre):
        (due,) = centre.capture()

        centre.purge()

        said = [
            event.event_type
            for event in Event.objects.filter(conversation=due.pk).order_by("happened_at", "id")
        ]
        assert said == [
            "conversation.withdrawn",
            "content_key.destroyed",
            "conversation.destroyed",
        ]
        assert counted("purge_run.started") == counted("purge_run.finished") == 1
        assert counted("ledger.written") == 1

    def test_old_versions_and_delete_markers_go_too(self, centre, servers):
        (due,) = centre.capture()
        row = StoredObject.objects.filter(conversation=due)[0]
        admin, bucket = servers.s3("admin"), settings.S3_CONTENT_BUCKET
        stray = f"{row.key.rsplit('/', 1)[0]}/{uuid7()}"
        admin.put_object(Bucket=bucket, Key=row.key, Body=b"a second version")
        admin.put_object(Bucket=bucket, Key=stray, Body=b"put, and its row never written")
        admin.delete_object(Bucket=bucket, Key=row.key)
        assert len(centre.versions_of(due)) == 5

        centre.purge()

        line = Destruction.objects.get()
        assert centre.versions_of(due) == []
        assert line.concluded_at is not None
        assert len(line.objects_destroyed) == 5

    @override_settings(PURGE_BATCH_SIZE=2)
    def test_goes_in_batches_oldest_end_first(self, centre):
        now = clock.now()
        late, early, middle = (
            centre.capture(destroy_after=now - timedelta(hours=hours))[0] for hours in (1, 3, 2)
        )

        tally = centre.purge()

        order = [
            line.conversation_id
            for line in Destruction.objects.order_by("withdrawn_at", "-destroy_after")
        ]
        assert tally.destroyed == 3
        assert order[2] == late.pk
        assert set(order[:2]) == {early.pk, middle.pk}

    def test_a_second_run_finds_nothing_and_writes_nothing(self, centre):
        centre.capture(2)
        centre.purge()
        before = Event.objects.count()

        tally = centre.purge()

        assert tally.run_id is None
        assert Event.objects.count() == before
        assert PurgeRun.objects.count() == 1


class TestWhenSomethingIsDown:
    def test_nothing_is_touched_when_the_audit_log_cannot_be_written(self, centre):
        (due,) = centre.capture()
        with connection.cursor() as cursor:
            cursor.execute("REVOKE INSERT ON audit_event FROM tallenne_purge")
            cursor.execute(
                "REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_purge"
            )

        with pytest.raises(PurgeStopped, match="audit log cannot be written"):
            centre.purge()

        due.refresh_from_db()
        assert due.state == "kept"
        assert not Destruction.objects.exists()
        assert len(centre.versions_of(due)) == 2

    @override_settings(PURGE_BATCH_SIZE=1)
    def test_stops_before_the_next_batch_when_the_audit_log_goes_down(self, centre, monkeypatch):
        centre.capture(4)
        whole, calls = steps.conclude, []

        def conclude(**members):
            calls.append(members)
            if len(calls) == 2:
                with connection.cursor() as cursor:
                    cursor.execute("SET default_transaction_read_only = on")
            return whole(**members)

        monkeypatch.setattr(steps, "conclude", conclude)

        with pytest.raises(PurgeStopped):
            centre.purge()

        states = sorted(Conversation.objects.values_list("state", flat=True))
        # While one is concluded, the store has the next one already.
        assert states == ["destroyed", "kept", "withdrawn", "withdrawn"]
        assert counted("conversation.destroyed") == 1
        monkeypatch.undo()
        assert centre.purge().destroyed == 3

    def test_nothing_is_withdrawn_when_the_store_is_down(self, centre):
        (due,) = centre.capture()

        class Down(ObjectStore):
            def server_date(self):
                raise StoreUnavailable

        with centre.stage.acting_as("purge"):
            down = Down.for_purge()
        with pytest.raises(PurgeStopped, match="cannot be reached"):
            centre.purge(content=down)

        due.refresh_from_db()
        assert due.state == "kept"

    @pytest.mark.parametrize("deed", ["delete_versions", "list_versions"])
    def test_a_store_that_fails_half_way_destroys_nothing_on_paper(self, centre, deed):
        (due,) = centre.capture()

        class Failing(ObjectStore):
            pass

        def fail(*args, **kwargs):
            raise StoreUnavailable

        setattr(Failing, deed, fail)
        with centre.stage.acting_as("purge"):
            failing = Failing.for_purge()
        tally = centre.purge(content=failing)

        line = Destruction.objects.get()
        due.refresh_from_db()
        assert (tally.destroyed, tally.postponed) == (0, 1)
        assert due.state == "withdrawn"
        assert due.wrapped_key is None
        assert (line.attempts, line.needs_person_at) == (0, None)
        assert "cannot be reached" in line.problem

        assert centre.purge().destroyed == 1
        assert centre.versions_of(due) == []

    def test_no_ledger_no_deletion(self, centre):
        (due,) = centre.capture()

        class NoLedger(ObjectStore):
            def put_locked(self, key, body, *, retain_until):
                raise StoreRefused

        with centre.stage.acting_as("purge"):
            anchor = NoLedger.for_anchor()
        centre.purge(anchor=anchor)

        assert len(centre.versions_of(due)) == 2
        assert Destruction.objects.get().ledger_key == ""
        assert centre.purge().destroyed == 1

    def test_a_store_that_lies_is_not_believed(self, centre):
        (due,) = centre.capture()

        class Lying(ObjectStore):
            def delete_versions(self, versions):
                return {}

        with centre.stage.acting_as("purge"):
            lying = Lying.for_purge()
        tally = centre.purge(content=lying)

        line = Destruction.objects.get()
        due.refresh_from_db()
        assert (tally.destroyed, tally.postponed) == (0, 1)
        assert due.state == "withdrawn"
        assert line.problem == "2 object versions are still in the store."
        assert line.next_try_at is not None
        assert counted("conversation.destroyed") == 0

    def test_a_store_that_removes_too_much_raises_an_incident_and_stops(self, centre):
        day = clock.now() - timedelta(days=50)
        centre.capture(ended_at=day)
        (kept,) = centre.capture(ended_at=day, destroy_after=clock.now() + timedelta(days=1))
        centre.capture(ended_at=day)
        victims = [tuple(version[:2]) for version in centre.versions_of(kept)]

        class Greedy(ObjectStore):
            def delete_versions(self, versions):
                return super().delete_versions([*versions, *victims])

        with centre.stage.acting_as("purge"):
            greedy = Greedy.for_purge()
        with pytest.raises(PurgeStopped, match="removed objects of conversations that are kept"):
            centre.purge(content=greedy)

        assert counted("incident.raised") == 1
        assert counted("conversation.destroyed") == 0

    def test_refuses_to_start_when_the_clocks_disagree(self, centre):
        (due,) = centre.capture(destroy_after=clock.now() + timedelta(days=300))

        with pytest.raises(PurgeStopped, match="clocks"):
            centre.purge(clock=lambda: clock.now() + timedelta(days=400))

        due.refresh_from_db()
        assert due.state == "kept"
        assert counted("incident.raised") == 1


class TestWhatKeepsFailing:
    def test_needs_a_person_in_the_end_while_the_rest_goes_on(self, centre, monkeypatch):
        monkeypatch.setattr(leases, "FIRST_RETRY_SECONDS", 0)
        poison, *others = centre.capture(5)
        protected = {version[1] for version in centre.versions_of(poison)}

        class Protecting(ObjectStore):
            def delete_versions(self, versions):
                return super().delete_versions(
                    [version for version in versions if version[1] not in protected]
                )

        with centre.stage.acting_as("purge"):
            protecting = Protecting.for_purge()
        tallies = [centre.purge(content=protecting) for _ in range(4)]

        line = Destruction.objects.get(conversation=poison)
        assert [tally.destroyed for tally in tallies] == [4, 0, 0, 0]
        assert [tally.need_person for tally in tallies] == [0, 0, 1, 1]
        assert line.attempts == settings.PURGE_ATTEMPTS
        assert line.needs_person_at is not None
        assert counted("destruction.failed") == settings.PURGE_ATTEMPTS
        assert Conversation.objects.filter(state="destroyed").count() == len(others)

    @override_settings(PURGE_BATCH_SIZE=500)
    def test_a_batch_that_is_killed_again_and_again_is_tried_in_smaller_ones(self):

        assert [leases.batch_size(attempts) for attempts in range(3)] == [500, 22, 1]


class TestTheBrake:
    @override_settings(PURGE_BRAKE_MINIMUM=2)
    def test_a_run_much_larger_than_usual_stops_before_it_begins(self, centre):
        centre.capture(3)

        first, second = centre.purge(), centre.purge()

        assert first.is_braked
        assert second.is_braked
        assert first.run_id == second.run_id
        assert PurgeRun.objects.get().state == PurgeRun.State.BRAKED
        assert counted("purge_run.braked") == 1
        assert not Conversation.objects.exclude(state="kept").exists()

    @override_settings(PURGE_BRAKE_MINIMUM=2)
    def test_a_run_as_large_as_usual_goes(self, centre):
        now = clock.now()
        PurgeRun.objects.create(
            state="finished", actor="system:purge", started_at=now, heartbeat_at=now, due_count=1
        )
        centre.capture(3)

        assert centre.purge().destroyed == 3

    def test_what_an_earlier_run_began_always_goes_on(self, centre):
        centre.capture(3)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(steps, "write_ledger", _fail)
            with pytest.raises(ZeroDivisionError):
                centre.purge()
        centre.capture(1)

        with override_settings(PURGE_BRAKE_MINIMUM=0, PURGE_BRAKE_FACTOR=0):
            tally = centre.purge()

        assert tally.destroyed == 3
        assert tally.is_braked


class TestLeases:
    def test_a_worker_that_lost_its_lease_writes_no_more(self, centre, monkeypatch):
        (due,) = centre.capture()
        whole = steps.write_ledger

        def lose_it_meanwhile(**members):
            whole(**members)
            Destruction.objects.update(lease_token=leases.new_token())

        monkeypatch.setattr(steps, "write_ledger", lose_it_meanwhile)

        tally = centre.purge()

        due.refresh_from_db()
        assert tally.destroyed == 0
        assert due.state == "withdrawn"
        assert counted("conversation.destroyed") == 0

    def test_two_that_conclude_the_same_conclude_it_once(self, centre, monkeypatch):
        centre.capture()
        whole, batches = steps.conclude, []

        def twice(**members):
            batches.append(members)
            done = whole(**members)
            assert whole(**members) == []
            return done

        monkeypatch.setattr(steps, "conclude", twice)

        assert centre.purge().destroyed == 1
        assert counted("conversation.destroyed") == 1


def _fail(**members: object) -> None:
    raise ZeroDivisionError
