"""A purge can be paused, let go on, stopped, and shows signs of life while the store hangs."""

from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.test import override_settings

from audit import clock
from audit.events import Actor
from recordings.models import Conversation, StoredObject
from recordings.objectstore import ObjectStore
from retention.management.commands.purge import stopping
from retention.models import Destruction, PurgePause, PurgeRun
from retention.operations.purge import control, pace, worker
from retention.operations.purge.pace import Pace
from retention.operations.purge.run import PurgeStopped
from tests.harness.roles import Stage
from tests.retention.centre import Centre, counted

OLGA = Actor(kind="user", reference="0b0e9c1e-5b1c-4b7a-9d3e-1f2a3b4c5d6e", role=None)


@pytest.fixture
def centre(stage: Stage) -> Centre:
    """A company at work, on the stage of this test."""
    return Centre(stage)


@pytest.fixture
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life every few hundredths of a second, and a store that is soon called slow."""
    monkeypatch.setattr(worker, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(pace, "SLOW_SECONDS", 0.1)


class TestPause:
    def test_nothing_is_destroyed_until_somebody_lets_it_go_on(self, centre):
        (due,) = centre.capture()
        assert control.pause(actor=OLGA, now=clock.now())

        paused = centre.purge()
        due.refresh_from_db()
        state = due.state
        control.resume(actor=OLGA, now=clock.now())

        assert (paused.is_stopped, paused.destroyed, state) == (True, 0, "kept")
        assert centre.purge().destroyed == 1

    def test_a_second_time_changes_nothing_and_is_not_logged(self, centre):
        first, second = (control.pause(actor=OLGA, now=clock.now()) for _ in range(2))
        gone, again = (control.resume(actor=OLGA, now=clock.now()) for _ in range(2))

        assert (first, second, gone, again) == (True, False, True, False)
        assert (counted("purge.paused"), counted("purge.resumed")) == (1, 1)

    def test_the_database_has_one_open_pause_for_a_reason(self, centre):
        control.pause(actor=OLGA, now=clock.now())

        with pytest.raises(IntegrityError), transaction.atomic():
            PurgePause.objects.create(reason="person", began_at=clock.now(), began_by="x")

    @pytest.mark.usefixtures("_hurried")
    @override_settings(PURGE_BATCH_SIZE=1)
    def test_a_run_under_way_waits_with_a_heartbeat_and_goes_on(self, centre):
        centre.capture(4)
        seen: dict[str, Any] = {}

        def watch(done: int, _total: int, /, word: str = "") -> None:
            if not seen:
                seen["paused_at"] = clock.now()
                control.pause(actor=OLGA, now=seen["paused_at"])
            elif word == "paused" and "done" not in seen:
                seen["done"] = done
                seen["left"] = Conversation.objects.kept().count()
                seen["heartbeat_at"] = PurgeRun.objects.get().heartbeat_at
                control.resume(actor=OLGA, now=clock.now())

        tally = centre.purge(progress=watch)

        assert seen["heartbeat_at"] >= seen["paused_at"]
        assert seen["left"] > 0
        assert tally.destroyed == 4


class TestStop:
    @override_settings(PURGE_BATCH_SIZE=1)
    def test_ends_after_the_batch_and_the_next_run_takes_the_rest(self, centre):
        centre.capture(5)

        def watch(done: int, _total: int, /, word: str = "") -> None:
            control.stop(actor=OLGA, now=clock.now())

        stopped = centre.purge(progress=watch)

        run = PurgeRun.objects.get()
        assert stopped.is_stopped
        assert 0 < stopped.destroyed < 5
        assert (run.state, run.stop_asked_at is not None) == ("finished", True)
        assert not Destruction.objects.open().exists()
        assert counted("purge_run.stopped") == 1
        assert centre.purge().destroyed == 5 - stopped.destroyed

    @override_settings(PURGE_BATCH_SIZE=1)
    def test_a_signal_ends_it_after_the_batch(self, centre):
        centre.capture(5)

        with stopping() as is_asked:
            tally = centre.purge(
                is_asked_to_stop=is_asked,
                progress=lambda done, total, word="": os.kill(os.getpid(), signal.SIGTERM),
            )

        assert tally.is_stopped
        assert 0 < tally.destroyed < 5
        assert not Destruction.objects.open().exists()

    def test_the_second_ctrl_c_ends_it_at_once(self):
        with pytest.raises(KeyboardInterrupt), stopping():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)


class TestStoreThatHangs:
    @pytest.mark.usefixtures("_hurried")
    @pytest.mark.parametrize("deed", ["delete_versions", "list_versions", "put_locked"])
    def test_the_run_shows_a_heartbeat_and_that_it_is_slowed_down(self, centre, deed):
        centre.capture()
        released, seen = threading.Event(), []

        class Hanging(ObjectStore):
            pass

        def hang(self: ObjectStore, *args: Any, **kwargs: Any) -> Any:
            assert released.wait(30)
            return getattr(super(Hanging, self), deed)(*args, **kwargs)

        setattr(Hanging, deed, hang)

        def watch(_done: int, _total: int, /, word: str = "") -> None:
            run = PurgeRun.objects.get()
            if word == "slowed down" and run.slow_since is not None:
                seen.append((run.heartbeat_at, run.slow_since))
            if len(seen) == 3:
                released.set()

        with centre.stage.acting_as("purge"):
            stores = {"content": Hanging.for_purge(), "anchor": Hanging.for_anchor()}
        tally = centre.purge(**stores, progress=watch)

        run = PurgeRun.objects.get()
        assert tally.destroyed == 1
        assert seen[0][0] < seen[1][0] < seen[2][0]
        assert run.slow_since is None or run.state == "finished"


class TestObjectLock:
    def test_is_tried_once_and_again_when_the_lock_is_over(self, centre, servers):
        locked, free = centre.capture(2)
        until = (clock.now() + timedelta(days=1)).replace(microsecond=0)
        stored = StoredObject.objects.filter(conversation=locked).order_by("key")[0]
        servers.s3("admin").put_object_retention(
            Bucket=settings.S3_CONTENT_BUCKET,
            Key=stored.key,
            VersionId=stored.version_id,
            Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until},
        )

        first, second = centre.purge(), centre.purge()

        line = Destruction.objects.get(conversation=locked)
        assert (first.destroyed, first.postponed) == (1, 1)
        assert (second.destroyed, second.postponed) == (0, 0)
        assert (line.attempts, line.needs_person_at, line.next_try_at) == (0, None, until)
        assert f"{until:%Y-%m-%d %H:%M}" in line.problem
        assert Destruction.objects.get(conversation=free).concluded_at is not None
        assert counted("destruction.failed") == 1


class TestClocks:
    @pytest.mark.parametrize(
        "apart",
        [timedelta(days=400), -timedelta(days=400), timedelta(hours=2), -timedelta(hours=2)],
    )
    def test_nothing_goes_while_they_disagree_and_it_is_said_until_they_agree(self, centre, apart):
        (due,) = centre.capture()

        for _ in range(2):
            with pytest.raises(PurgeStopped, match="clocks"):
                centre.purge(clock=lambda: clock.now() + apart)
        due.refresh_from_db()
        state, said = due.state, PurgePause.objects.get()
        after = centre.purge()

        assert state == "kept"
        assert (said.reason, said.ended_at) == ("clocks", None)
        assert counted("incident.raised") == 1
        assert after.destroyed == 1
        assert PurgePause.objects.get().ended_at is not None

    @override_settings(PURGE_BATCH_SIZE=1)
    def test_a_clock_set_forward_under_way_stops_the_run(self, centre, monkeypatch):
        monkeypatch.setattr(worker, "CLOCKS_EVERY", timedelta(0))
        centre.capture(6)
        (kept,) = centre.capture(destroy_after=clock.now() + timedelta(days=300))
        ahead = [timedelta(0)]

        def watch(done: int, _total: int, /, word: str = "") -> None:
            ahead[0] = timedelta(days=400)

        with pytest.raises(PurgeStopped, match="clocks"):
            centre.purge(clock=lambda: clock.now() + ahead[0], progress=watch)

        kept.refresh_from_db()
        assert kept.state == "kept"
        assert Conversation.objects.filter(state="destroyed").count() < 6


class TestTheFirstAlwaysFails:
    @override_settings(PURGE_BATCH_SIZE=4)
    def test_all_others_go_in_the_same_run(self, centre):
        first = centre.capture(destroy_after=clock.now() - timedelta(days=9))[0]
        others = centre.capture(11)
        protected = {version.version_id for version in centre.versions_of(first)}

        class Protecting(ObjectStore):
            def delete_versions(self, versions):
                return super().delete_versions([v for v in versions if v[1] not in protected])

        with centre.stage.acting_as("purge"):
            protecting = Protecting.for_purge()
        tally = centre.purge(content=protecting)

        gone = Conversation.objects.filter(state="destroyed").values_list("pk", flat=True)
        assert set(gone) == {other.pk for other in others}
        assert (tally.destroyed, tally.postponed) == (11, 1)


class TestPace:
    def test_a_slow_batch_halves_the_next_and_quick_ones_let_it_grow(self):
        pace_of_run = Pace(limit=1000)
        pace_of_run.took(conversations=1000, seconds=1.0)
        pace_of_run.took(conversations=1000, seconds=30.0)

        slow, size = pace_of_run.is_slow, pace_of_run.size
        for _ in range(20):
            pace_of_run.took(conversations=500, seconds=0.5)

        assert (slow, size) == (True, 500)
        assert (pace_of_run.is_slow, pace_of_run.size) == (False, 1000)

    def test_failures_go_down_to_a_few_and_no_further(self):
        pace_of_run = Pace(limit=1000)
        for _ in range(20):
            pace_of_run.failed()

        assert pace_of_run.size == pace.SMALLEST

    def test_a_limit_is_kept_by_waiting(self):
        pace_of_run = Pace(limit=1000, per_minute=600)

        assert pace_of_run.size == 100
        assert pace_of_run.wait_seconds(conversations=100, seconds=4.0) == 6.0
        assert Pace(limit=1000).wait_seconds(conversations=1000, seconds=0.1) == 0.0
