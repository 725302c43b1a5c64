"""Law 2: the event is committed before the first byte; if it cannot be, nobody listens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection
from django.urls import reverse
from psycopg import sql

from audit.models import Event
from tests.factories import Centre
from tests.harness.roles import Stage
from tests.harness.visitors import Answer
from tests.laws import ways
from tests.laws.ways import SPOKEN, Way

# An answer that was waited for longer would be a way of stopping the whole site.
PATIENCE_SECONDS = 2.5


def audit_list(visitor, _):
    return visitor.get(reverse("audit:log"))


def audit_export(visitor, _):
    return visitor.post(reverse("audit:export"), {"format": "csv"})


@contextmanager
def insert_revoked(stage: Stage) -> Iterator[None]:
    """The web's role has lost its right to append."""
    with psycopg.connect(stage.environment("owner")["DATABASE_URL"], autocommit=True) as owner:
        owner.execute(
            "REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_web"
        )
        yield


@contextmanager
def table_locked(stage: Stage) -> Iterator[None]:
    """Somebody holds the table and does not let go."""
    with psycopg.connect(stage.environment("owner")["DATABASE_URL"]) as owner:
        owner.execute("LOCK TABLE audit_event IN ACCESS EXCLUSIVE MODE")
        yield
        owner.rollback()


@contextmanager
def insert_fails(stage: Stage) -> Iterator[None]:
    """The disk is full, as far as the table can tell."""
    with psycopg.connect(stage.environment("owner")["DATABASE_URL"], autocommit=True) as owner:
        owner.execute(
            "CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$"
        )
        owner.execute(
            "CREATE TRIGGER zz_disk_full BEFORE INSERT ON audit_event "
            "FOR EACH ROW EXECUTE FUNCTION disk_full()"
        )
        yield


@contextmanager
def commit_fails(stage: Stage) -> Iterator[None]:
    """Writing seems to go well, and the commit does not."""
    with psycopg.connect(stage.environment("owner")["DATABASE_URL"], autocommit=True) as owner:
        owner.execute(
            "CREATE FUNCTION commit_fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'could not write to file' USING ERRCODE = 'io_error'; END $$"
        )
        for (partition,) in owner.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits "
            "WHERE inhparent = 'audit_event'::regclass"
        ).fetchall():
            owner.execute(
                sql.SQL(
                    "CREATE CONSTRAINT TRIGGER zz_commit_fails AFTER INSERT ON {} "
                    "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION commit_fails()"
                ).format(sql.Identifier(partition))
            )
        yield


FAULTS = (insert_revoked, table_locked, insert_fails, commit_fails)


def assert_nothing_left(answer: Answer) -> None:
    assert answer.status == 503
    assert SPOKEN not in answer.text
    assert b"RIFF" not in answer.body
    assert "agent" not in answer.text
    assert "duration" not in answer.text
    assert answer.headers.get("Content-Disposition") is None


class TestNoAuditNoBytes:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_of_content_by_any_way(
        self, centre: Centre, stage: Stage, signed_in: Callable, fault: Callable
    ):
        kept = ways.kept(centre)
        alice = signed_in(centre.alice)
        # The positive control: all of it is open to her as long as it can be logged.
        before = [way(alice, kept) for way in (*ways.CONTENT, ways.listing)]
        assert {answer.status for answer in before} <= {200, 206}
        assert SPOKEN in before[1].text
        assert b"RIFF" in before[2].body

        with fault(stage):
            for way in (*ways.CONTENT, ways.listing):
                began = time.monotonic()
                answer = way(alice, kept)

                assert_nothing_left(answer)
                assert time.monotonic() - began < PATIENCE_SECONDS, way.__name__

    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("way", [audit_list, audit_export])
    def test_of_the_log_itself(
        self,
        centre: Centre,
        stage: Stage,
        sealer: object,
        signed_in: Callable,
        way: Way,
        fault: Callable,
    ):
        kept = ways.kept(centre)
        olga = signed_in(centre.olga)
        assert way(olga, kept).status == 200

        with fault(stage):
            answer = way(olga, kept)

        assert_nothing_left(answer)
        assert "conversation.captured" not in answer.text

    def test_it_goes_on_by_itself_once_it_can_be_logged(
        self, centre: Centre, stage: Stage, signed_in: Callable
    ):
        kept = ways.kept(centre)
        alice = signed_in(centre.alice)
        with table_locked(stage):
            assert ways.sound(alice, kept).status == 503

        assert ways.sound(alice, kept).status == 206

    @pytest.mark.parametrize("fault", FAULTS)
    def test_a_refusal_stays_a_refusal(
        self, centre: Centre, stage: Stage, signed_in: Callable, fault: Callable
    ):
        kept = ways.kept(centre)
        charlie = signed_in(centre.charlie)

        with fault(stage):
            answers = [way(charlie, kept) for way in (ways.chat_page, ways.sound)]

        assert {answer.status for answer in answers} <= {404, 503}


class TestEventFirst:
    def test_each_range_is_in_the_log_with_its_bytes_before_they_come(
        self, centre: Centre, signed_in: Callable
    ):
        kept = ways.kept(centre)
        alice = signed_in(centre.alice)

        answer = alice.listen(kept.sound.pk, bytes_range="bytes=100-299")

        assert len(answer.body) == 200
        event = Event.objects.get(event_type="dialog.played")
        assert (event.actor, event.outcome) == (str(centre.alice.reference), "allow")
        assert '"first_byte":100' in event.body
        assert '"last_byte":299' in event.body

    def test_a_refusal_is_in_the_log(self, centre: Centre, signed_in: Callable):
        kept = ways.kept(centre)

        ways.sound(signed_in(centre.charlie), kept)
        ways.chat_page(signed_in(centre.charlie), kept)

        refused = Event.objects.filter(actor=str(centre.charlie.reference), outcome="deny")
        assert {event.event_type for event in refused} == {
            "playback.refused",
            "conversation.refused",
        }

    def test_no_byte_without_its_event_when_many_listen(self, centre: Centre, signed_in: Callable):
        kept = ways.kept(centre)
        alice = signed_in(centre.alice)
        size = kept.sound.stored_object.plain_size_bytes
        got = 0

        for first in range(0, size, 9_973):
            got += len(
                alice.listen(kept.sound.pk, bytes_range=f"bytes={first}-{first + 9_972}").body
            )

        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT sum((body::jsonb #>> '{x,last_byte}')::int "
                "- (body::jsonb #>> '{x,first_byte}')::int + 1) "
                "FROM audit_event WHERE event_type = 'dialog.played'"
            )
            assert cursor.fetchone() == (got,) == (size,)


def test_a_lock_that_is_let_go_in_time_is_waited_for(
    centre: Centre, stage: Stage, signed_in: Callable
):
    kept = ways.kept(centre)
    alice = signed_in(centre.alice)
    held, let_go = threading.Event(), threading.Event()

    def hold_for_a_moment() -> None:
        with table_locked(stage):
            held.set()
            let_go.wait(0.5)

    other = threading.Thread(target=hold_for_a_moment)
    other.start()
    held.wait()

    answer = ways.sound(alice, kept)

    other.join()
    assert answer.status == 206
