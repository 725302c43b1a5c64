"""After a run, database and store let go of what was deleted; what became of it is shown."""

from __future__ import annotations

import json

import psycopg
import pytest
from django.db import connection
from django.test import override_settings
from django.urls import reverse

from audit import clock
from audit.models import Event
from retention.models import PurgeRun
from retention.operations.purge import maintenance
from tests.harness.roles import Stage
from tests.retention.centre import Centre

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def company(stage: Stage) -> Centre:
    """A company at work, on the stage of this test."""
    return Centre(stage)


def maintain(stage: Stage, *, has_destroyed: bool = False) -> bool:
    """The maintenance, with the rights of the purge."""
    with stage.acting_as("purge"):
        return maintenance.maintain(has_destroyed=has_destroyed, clock=clock.now)


def said() -> list[tuple[str, int, str]]:
    """What the log says of each: its outcome, how many tables, and how the store did."""
    events = Event.objects.filter(event_type="purge_run.maintained").order_by("happened_at")
    facts = [(event.outcome, json.loads(event.body)["x"]) for event in events]
    return [(outcome, fact["tables"], fact["state"]) for outcome, fact in facts]


def vacuums() -> set[int]:
    """How often each of the tables was vacuumed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = ANY(%s)",
            [[*maintenance.TABLES, maintenance.LAST_TABLE]],
        )
        return {count for (count,) in cursor.fetchall()}


class TestMaintenance:
    def test_vacuums_every_table_once_after_a_run(self, company):
        company.capture(3)
        company.purge()

        assert maintain(company.stage, has_destroyed=True)

        assert said() == [("allow", 8, "not_asked")]
        assert vacuums() == {1}
        assert not maintain(company.stage)

    def test_is_made_up_for_where_the_worker_was_killed_before_it(self, company):
        company.capture()
        company.purge()

        assert maintain(company.stage)
        assert not maintain(company.stage)

    def test_of_a_store_that_does_not_answer_is_tried_again(self, company, monkeypatch):
        monkeypatch.setattr(maintenance, "SETTLES_SECONDS", 0)
        company.capture()
        company.purge()

        with override_settings(SEAWEEDFS_MASTER_URL=NOBODY):
            assert maintain(company.stage)
            assert maintain(company.stage)

        assert said() == [("error", 7, "failed")] * 2

    def test_does_nothing_where_nothing_was_destroyed(self, company):
        company.purge()

        assert not maintain(company.stage)
        assert said() == []

    def test_of_a_table_that_is_locked_does_not_wait_and_is_tried_again(self, company, monkeypatch):
        monkeypatch.setattr(maintenance, "LOCK_TIMEOUT", "10ms")
        company.capture()
        company.purge()

        with psycopg.connect(company.stage.environment("owner")["DATABASE_URL"]) as other:
            other.execute("LOCK TABLE recordings_party IN SHARE MODE")
            maintain(company.stage)

        assert said() == [("error", 6, "not_asked")]
        assert maintain(company.stage)


def test_its_run_shows_what_became_of_it(centre, olga):
    now = clock.now()
    run = PurgeRun.objects.create(
        state="finished", actor="system:purge", started_at=now, heartbeat_at=now, finished_at=now
    )
    page = reverse("retention:purge_run", args=[run.pk])
    assert "Cleared away afterwards" not in olga.get(page).text

    maintain(centre.stage)

    text = " ".join(olga.get(page).text.split())
    assert "Cleared away afterwards" in text
    assert "Database: 8 tables. Object store: left to itself." in text
