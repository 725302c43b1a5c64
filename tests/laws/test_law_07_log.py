"""Law 7: the log is never altered, by no role of ours, not even by the owner of its tables."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from audit.models import Event
from tests.factories import Centre
from tests.harness.roles import Role

CHANGES = (
    "UPDATE {table} SET body = body",
    "UPDATE {table} SET recorded_at = now()",
    "DELETE FROM {table}",
    "TRUNCATE {table}",
    "TRUNCATE {table} CASCADE",
    "MERGE INTO {table} e USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
)


def tables_of_the_log() -> list[str]:
    """The log, each of its partitions, and the table of logs."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits "
            "WHERE inhparent = 'audit_event'::regclass"
        )
        return ["audit_event", *(name for (name,) in cursor.fetchall())]


@pytest.mark.parametrize("role", ["web", "work", "purge", "cut", "stream", "owner"])
def test_update_delete_and_truncate_are_refused(centre: Centre, role: Role):
    centre.call()
    before = sorted(map(repr, Event.objects.values_list()))
    tables = tables_of_the_log()
    assert len(tables) > 3
    got_through = []

    with centre.stage.acting_as(role):
        for statement in (change.format(table=name) for name in tables for change in CHANGES):
            try:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute(statement)
                    # On an empty partition there is no row to refuse.
                    if cursor.rowcount:
                        got_through.append(statement)
            except DatabaseError:
                continue

    assert [one for one in got_through if "TRUNCATE" not in one] == []
    assert [one for one in got_through if "TRUNCATE" in one] == []
    assert sorted(map(repr, Event.objects.values_list())) == before


@pytest.mark.parametrize("role", ["web", "work", "purge"])
def test_nobody_chooses_an_events_number_or_time(centre: Centre, role: Role):
    body = Event.objects.order_by("id").values_list("body", flat=True)[0]
    with centre.stage.acting_as(role), pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_event (log, about_conversation, body, recorded_at) "
            "VALUES ('installation', false, %s, '2020-01-01')",
            [body],
        )


@pytest.mark.parametrize("role", ["web", "work", "purge"])
def test_nobody_unbolts_the_guards(centre: Centre, role: Role):
    for statement in (
        "ALTER TABLE audit_event DISABLE TRIGGER ALL",
        "DROP TRIGGER audit_event_refuse_change ON audit_event",
        "SET session_replication_role = replica",
        "DROP TABLE audit_event",
        "SELECT setval('audit_clock_mark', 1)",
    ):
        with (
            centre.stage.acting_as(role),
            pytest.raises(DatabaseError),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
