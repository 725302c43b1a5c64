"""Faults of the servers that tests bring about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.harness.roles import Stage


@contextmanager
def log_refused(stage: Stage) -> Iterator[None]:
    """Nobody can append to the audit log, as if its disk were full."""
    with psycopg.connect(stage.environment("owner")["DATABASE_URL"], autocommit=True) as owner:
        owner.execute(
            "CREATE FUNCTION log_refused() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = 'disk_full'; END $$"
        )
        owner.execute(
            "CREATE TRIGGER zz_log_refused BEFORE INSERT ON audit_event "
            "FOR EACH ROW EXECUTE FUNCTION log_refused()"
        )
        yield
        owner.execute("DROP FUNCTION log_refused CASCADE")
