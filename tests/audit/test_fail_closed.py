"""What cannot be logged is refused, within two seconds, whatever the database does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import DatabaseError, connection

from audit import checks
from audit.deadlines import deadline
from audit.models import Event
from audit.operations import AuditUnavailable, accountable, append, append_alone
from tests.audit.given import played, rows, run

pytestmark = pytest.mark.django_db

SECONDS = 2.0


@contextmanager
def refused_in_time() -> Iterator[None]:
    began = time.monotonic()
    with pytest.raises(AuditUnavailable):
        yield
    assert time.monotonic() - began < SECONDS + 0.2


@pytest.fixture
def owners_session(stage) -> Iterator[psycopg.Connection]:
    with psycopg.connect(stage.environment("owner")["DATABASE_URL"]) as session:
        yield session


class TestAccountable:
    @pytest.mark.parametrize("table", ["audit_event", "audit_event_installation_c"])
    def test_refuses_when_the_log_is_locked(self, acting_as, owners_session, table):
        month = rows("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMM')")[0][0]
        name = table if table == "audit_event" else f"{table}_{month}"
        owners_session.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")

        with acting_as("web"):
            members = played()
            with refused_in_time():
                append_alone(**members)

        owners_session.rollback()
        assert not Event.objects.exists()

    def test_refuses_when_the_right_to_insert_is_gone(self, acting_as):
        run("REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_web")

        with acting_as("web"), refused_in_time():
            append_alone(**played())

        assert not Event.objects.exists()

    def test_refuses_when_the_session_is_killed_before_commit(self, acting_as, owners_session):
        with acting_as("web"):
            with refused_in_time(), accountable():
                append(**played())
                (pid,) = rows("SELECT pg_backend_pid()")[0]
                connection.connection.close()
                assert pid
            append_alone(**played())

        assert Event.objects.count() == 1

    def test_refuses_when_the_database_does_not_answer(self, acting_as, monkeypatch):
        # Without the server's own limits, as when the server itself stands still.
        monkeypatch.setattr("audit.operations.events.SERVER_TIMEOUT_MILLISECONDS", 0)

        with acting_as("web"), refused_in_time(), accountable():
            append(**played())
            run("SELECT pg_sleep(10)")

        assert not Event.objects.exists()

    def test_discards_the_connection(self, acting_as):
        run("REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_web")

        with acting_as("web"):
            with refused_in_time():
                append_alone(**played())

            assert connection.connection is None

    def test_waits_for_the_disk_whatever_the_session_says(self):
        run("SET synchronous_commit = off")

        with accountable():
            (value,) = rows("SHOW synchronous_commit")[0]

        assert value == "on"


class TestDeadline:
    def test_breaks_off_a_database_that_does_not_answer(self):
        began = time.monotonic()

        with pytest.raises(DatabaseError), deadline(connection, seconds=0.3):
            run("SELECT pg_sleep(5)")

        connection.close()
        assert time.monotonic() - began < 1

    def test_leaves_a_connection_alone_that_was_in_time(self):
        with deadline(connection, seconds=0.1):
            run("SELECT 1")
        time.sleep(0.2)

        assert rows("SELECT 1") == [(1,)]

    def test_watches_by_one_thread(self):
        for _ in range(50):
            with deadline(connection, seconds=1):
                pass

        names = [thread.name for thread in threading.enumerate()]
        assert names.count("audit-deadlines") == 1


class TestDurability:
    def test_is_found_sound_on_the_projects_own_server(self):
        assert checks.check_database_is_durable(app_configs=None, databases=["default"]) == []
        checks.refuse_unsafe_database()

    def test_is_refused_when_commits_do_not_wait_for_the_disk(self):
        run("SET synchronous_commit = off")

        (error,) = checks.check_database_is_durable(app_configs=None, databases=["default"])

        assert error.id == "audit.E001"
        with pytest.raises(checks.UnsafeDatabase, match="synchronous_commit=off"):
            checks.refuse_unsafe_database()
