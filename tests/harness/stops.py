"""Stops a process of the product in the middle of one statement, where it can be killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from tests.harness.roles import Stage

LOCK = 471_100
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.02


@contextmanager
def stopped_at(stage: Stage, *, table: str, condition: str) -> Iterator[None]:
    """
    Let whoever updates a row of the table so that the condition holds wait, before it does.

    Inside the context nobody gets past; leaving it lets them go on. Wait with `wait_for_it`.
    """
    with psycopg.connect(stage.environment("owner")["DATABASE_URL"], autocommit=True) as owner:
        owner.execute(
            "CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS "
            f"$$ BEGIN PERFORM pg_advisory_xact_lock({LOCK}); RETURN NEW; END $$"
        )
        owner.execute(
            sql.SQL(
                "CREATE TRIGGER aa_wait_here BEFORE UPDATE ON {} FOR EACH ROW WHEN ({}) "
                "EXECUTE FUNCTION wait_here()"
            ).format(sql.Identifier(table), sql.SQL(condition))  # type: ignore[arg-type]
        )
        owner.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        yield
        owner.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def wait_for_it(stage: Stage) -> None:
    """Wait until somebody stands at the stop. Raises: TimeoutError."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with psycopg.connect(stage.environment("owner")["DATABASE_URL"], autocommit=True) as owner:
        while time.monotonic() < deadline:
            waiting = owner.execute(
                "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
                "WHERE locktype = 'advisory' AND objid = %s AND NOT granted "
                "AND d.datname = current_database()",
                [LOCK],
            ).fetchone()
            if waiting and waiting[0]:
                return
            time.sleep(POLL_SECONDS)
    raise TimeoutError("Nobody came to the place where they were to be stopped.")
