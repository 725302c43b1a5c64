"""A purge may be killed at any moment: run again and it finishes, and nothing happens twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from audit import clock
from audit.models import Event
from config.servers import Servers
from recordings.models import Conversation
from retention.models import Destruction, PurgeRun
from tests.harness.roles import Stage
from tests.retention.centre import Centre
from tests.retention.killed_purge import Killable

PURGE = "retention.operations.purge"
# Where a step begins or ends, inside its transaction or outside.
PLACES = [
    (f"{PURGE}.run:steps.withdraw", 1),
    ("recordings.operations.lifecycle:withdraw", 1),
    (f"{PURGE}.run:steps.destroy_keys", 1),
    ("recordings.operations.lifecycle:destroy_keys", 1),
    (f"{PURGE}.run:steps.write_ledger", 1),
    (f"{PURGE}.steps:_put", 1),
    (f"{PURGE}.steps:_note_ledger", 1),
    (f"{PURGE}.deletion:_list", 1),
    (f"{PURGE}.deletion:_list", 2),
    ("recordings.objectstore:ObjectStore.delete_versions", 1),
    (f"{PURGE}.run:steps.conclude", 1),
    ("recordings.operations.lifecycle:conclude", 1),
    (f"{PURGE}.run:steps.conclude", 2),
    (f"{PURGE}.run:_close", 1),
]
ONCE = ("conversation.withdrawn", "content_key.destroyed", "conversation.destroyed")


@pytest.fixture(scope="module")
def killable(servers: Servers) -> Iterator[Killable]:
    """A process that forks purges."""
    made = Killable(servers.environment("purge"))
    yield made
    made.stop()


@pytest.fixture
def centre(stage: Stage) -> Centre:
    """A company at work, on the stage of this test."""
    return Centre(stage)


class TestKilledPurge:
    @pytest.mark.parametrize(("where", "nth"), PLACES)
    def test_is_finished_by_the_next_run(self, centre, killable, where, nth):
        far_off = clock.now() + timedelta(days=1)
        for when in ("before", "after"):
            due, kept = centre.capture(3), centre.capture(1, destroy_after=far_off)
            killable.start(
                database_url=centre.stage.environment("purge")["DATABASE_URL"],
                settings={"PURGE_BATCH_SIZE": 2},
                at={"where": where, "nth": nth, "when": when},
            )
            assert killable.wait() == -signal.SIGKILL

            centre.purge()

            _assert_all_gone_once(centre, due)
            _assert_whole(centre, kept)

    def test_leaves_nothing_readable_once_the_key_is_gone(self, centre, killable):
        (due,) = centre.capture()
        killable.start(
            database_url=centre.stage.environment("purge")["DATABASE_URL"],
            at={"where": f"{PURGE}.run:steps.destroy_keys", "when": "after"},
        )
        killable.wait()

        due.refresh_from_db()

        assert due.state == "withdrawn"
        assert due.wrapped_key is None
        assert len(centre.versions_of(due)) == 2

    def test_killed_at_random_again_and_again_still_destroys_all_of_it_once(self, centre, killable):
        due = centre.capture(40)
        chance = random.Random(7)
        url = centre.stage.environment("purge")["DATABASE_URL"]
        for _ in range(10):
            child = killable.start(database_url=url, settings={"PURGE_BATCH_SIZE": 5})
            time.sleep(chance.uniform(0.02, 0.35))
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            killable.wait()

        centre.purge()

        assert not Destruction.objects.filter(needs_person_at__isnull=False).exists()
        _assert_all_gone_once(centre, due)

    def test_one_that_kills_its_worker_is_set_aside_and_the_others_go(self, centre, killable):
        due = centre.capture(12)
        poison = due[4]
        with connection.cursor() as cursor:
            # Whoever concludes it is ended by the database, without a word.
            cursor.execute(
                "CREATE FUNCTION end_worker() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
                "AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
            )
            cursor.execute(
                "CREATE TRIGGER poison BEFORE UPDATE ON recordings_conversation FOR EACH ROW "
                f"WHEN (NEW.id = '{poison.pk}' AND NEW.state = 'destroyed') "
                "EXECUTE FUNCTION end_worker()"
            )
        url = centre.stage.environment("purge")["DATABASE_URL"]
        for _ in range(6):
            killable.start(database_url=url, settings={"PURGE_BATCH_SIZE": 12})
            killable.wait()

        line = Destruction.objects.get(conversation=poison)
        assert line.needs_person_at is not None
        assert line.concluded_at is None
        assert Conversation.objects.filter(state="destroyed").count() == 11

    @pytest.mark.parametrize(("deed", "lease"), [("kill", 120), ("exhaust", 120), ("loop", 0.75)])
    def test_one_that_harms_its_worker_takes_three_of_them_and_no_other_with_it(
        self, centre, killable, deed, lease
    ):
        due = centre.capture(9)
        poison = due[4]
        ended = []
        for _ in range(5):
            killable.start(
                database_url=centre.stage.environment("purge")["DATABASE_URL"],
                settings={"PURGE_BATCH_SIZE": 9, "PURGE_LEASE_SECONDS": lease},
                at={
                    "where": "recordings.operations.lifecycle:conclude",
                    "when": "before",
                    "deed": deed,
                    "about": str(poison.pk),
                },
            )
            ended.append(killable.wait())

        line = Destruction.objects.get(conversation=poison)
        assert [code == 0 for code in ended] == [False, False, False, True, True]
        assert (line.attempts, line.concluded_at) == (3, None)
        assert line.needs_person_at is not None
        _assert_all_gone_once(centre, [one for one in due if one != poison])

    def test_one_that_was_frozen_and_wakes_up_after_its_lease_writes_no_more(
        self, centre, killable
    ):
        due = centre.capture(4)
        frozen = killable.start(
            database_url=centre.stage.environment("purge")["DATABASE_URL"],
            settings={"PURGE_LEASE_SECONDS": 0.2},
            at={"where": f"{PURGE}.run:steps.write_ledger", "when": "after", "deed": "stop"},
        )
        _wait_until_stopped(frozen)
        _wait_until(lambda: Destruction.objects.claimable(at=clock.now()).count() == 4)

        assert centre.purge().destroyed == 4

        os.kill(frozen, signal.SIGCONT)
        killable.wait()
        _assert_all_gone_once(centre, due)

    def test_two_at_once_do_no_harm(self, centre, killable):
        due = centre.capture(30)
        killable.start(
            database_url=centre.stage.environment("purge")["DATABASE_URL"],
            settings={"PURGE_BATCH_SIZE": 3},
        )

        centre.purge()

        assert killable.wait() == 0
        _assert_all_gone_once(centre, due)


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _wait_until_stopped(pid: int) -> None:
    stat = Path(f"/proc/{pid}/stat")
    _wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")


def _assert_all_gone_once(centre: Centre, due: list[Conversation]) -> None:
    ids = {conversation.pk for conversation in due}
    destroyed = Conversation.objects.filter(pk__in=ids, state="destroyed", wrapped_key=None)
    assert set(destroyed.values_list("pk", flat=True)) == ids
    lines = Destruction.objects.filter(conversation__in=ids)
    assert lines.count() == len(ids)
    assert not lines.filter(concluded_at=None).exists()
    assert all(len(line.objects_destroyed) == 2 for line in lines)
    told = Counter(
        Event.objects.filter(conversation__in=ids, event_type__in=ONCE).values_list(
            "conversation", "event_type"
        )
    )
    assert told == {(pk, event_type): 1 for pk in ids for event_type in ONCE}
    for conversation in due:
        assert centre.versions_of(conversation) == []
    assert not PurgeRun.objects.exclude(state="finished").exists()


def _assert_whole(centre: Centre, kept: list[Conversation]) -> None:
    for conversation in kept:
        conversation.refresh_from_db()
        assert conversation.state == "kept"
        assert conversation.wrapped_key is not None
        assert len(centre.versions_of(conversation)) == 2
