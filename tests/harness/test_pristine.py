"""A database that was used comes back as it was, or is not taken again."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from config.servers import Servers
from tests.harness.databases import clone, drop, template
from tests.harness.pristine import Pristine, transaction

TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY 1
"""
SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"


@pytest.fixture
def used(servers: Servers) -> Iterator[psycopg.Connection]:
    """A clone to do anything to, as the superuser."""
    source = template(servers)
    with psycopg.connect(servers.superuser_url(), autocommit=True) as superuser:
        name = clone(superuser, source=source)
        with psycopg.connect(servers.superuser_url(name), autocommit=True) as connection:
            yield connection
        drop(superuser, name)


def content(connection: psycopg.Connection) -> dict[str, object]:
    """All rows of all tables, and where sequences stand."""
    found: dict[str, object] = {"sequences": connection.execute(SEQUENCES).fetchall()}
    for (name,) in connection.execute(TABLES).fetchall():
        rows = connection.execute(f'SELECT t::text FROM "{name}" t ORDER BY 1')  # type: ignore[arg-type]
        found[name] = rows.fetchall()
    return found


OPEN_LOG = "SELECT audit_open_log('0192b0a0-0000-7000-8000-000000000001')"
ROWS = {
    "changed": "UPDATE django_content_type SET model = model || 'x' WHERE id = 1",
    "deleted": "DELETE FROM auth_permission WHERE id = (SELECT min(id) FROM auth_permission)",
    "replaced": (
        "WITH gone AS (DELETE FROM django_migrations WHERE id = 1 RETURNING *) "
        "INSERT INTO django_migrations SELECT id + 1000, app, name, applied FROM gone"
    ),
    "all gone": "SET session_replication_role = replica; DELETE FROM django_content_type; "
    "SET session_replication_role = origin",
}
DEFINITIONS = {
    "table": "CREATE TABLE more (id int)",
    "column": "ALTER TABLE django_content_type ADD COLUMN more int",
    "trigger": "ALTER TABLE audit_event DISABLE TRIGGER ALL",
    "right": "GRANT DELETE ON audit_leaf TO tallenne_web",
    "setting": "ALTER ROLE tallenne_web IN DATABASE {} SET work_mem = '1MB'",
    "log": OPEN_LOG,
}


@pytest.mark.parametrize("deed", sorted(ROWS))
def test_rows_come_back(used, deed):
    before = content(used)
    pristine, since = Pristine.read(used), transaction(used)
    used.execute(ROWS[deed])
    assert content(used) != before

    assert pristine.restore(used, since=since)

    assert content(used) == before


def test_they_come_back_a_second_time_and_sequences_too(used):
    before = content(used)
    pristine, since = Pristine.read(used), transaction(used)
    for _ in range(2):
        used.execute(
            "INSERT INTO auth_group (name) SELECT 'group ' || i FROM generate_series(1, 50) i"
        )
        assert content(used) != before
        since = pristine.restore(used, since=since)
        assert since
        assert content(used) == before


@pytest.mark.parametrize("deed", sorted(DEFINITIONS))
def test_other_definitions_are_not_taken_again(used, deed):
    pristine, since = Pristine.read(used), transaction(used)
    used.execute(DEFINITIONS[deed].replace("{}", used.info.dbname))

    assert pristine.restore(used, since=since) is None


def test_whoever_is_still_connected_is_sent_away(used, servers):
    pristine, since = Pristine.read(used), transaction(used)
    with psycopg.connect(servers.superuser_url(used.info.dbname)) as left_behind:
        left_behind.execute("INSERT INTO auth_group (name) VALUES ('never committed')")

        assert pristine.restore(used, since=since)

        with pytest.raises(psycopg.OperationalError):
            left_behind.execute("SELECT 1")
