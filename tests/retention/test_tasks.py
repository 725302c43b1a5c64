"""The workers' doorbells: each rings for one deed and carries identifiers only."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings

from accounts.roles import Role
from audit import clock
from config.celery import app
from recordings.objectstore import ObjectStore, StoreUnavailable
from retention import tasks
from retention.operations import holds, mirror
from tests.harness.roles import Stage
from tests.retention import given
from tests.retention.centre import Centre


@pytest.fixture
def centre(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Centre:
    """A company at work, with one held conversation of which the store has not been told."""
    monkeypatch.setattr(mirror, "request", lambda *, conversation_ids: None)
    made = Centre(stage)
    (held,) = made.capture(destroy_after=clock.now() + timedelta(days=1))
    holds.place_hold(
        matter=given.a_matter(made.controller),
        conversation_ids=[held.pk],
        placed_by=given.a_user("Bea", Role.COMPLIANCE_OFFICER),
        keyring=made.keyring,
        now=clock.now(),
    )
    return made


class TestTasks:
    def test_purge_destroys(self, centre):
        (due,) = centre.capture()

        with centre.stage.acting_as("purge"):
            tasks.purge()

        due.refresh_from_db()
        assert due.state == "destroyed"

    def test_quarantine_and_what_is_undecided_have_theirs(self, centre):
        with centre.stage.acting_as("purge"):
            tasks.purge_quarantine()
        with centre.stage.acting_as("work"):
            tasks.tend_undecided()

    def test_mirror_holds_tells_the_store_of_the_named_ones(self, centre):
        ids = [str(pk) for pk in set(mirror.pending().values_list("conversation_id", flat=True))]

        with centre.stage.acting_as("work"):
            tasks.mirror_holds(conversation_ids=[])
            assert mirror.pending().count() == 2
            tasks.mirror_holds(conversation_ids=ids)

        assert mirror.pending().count() == 0

    def test_sweep_finds_what_no_bell_was_rung_for(self, centre):
        with centre.stage.acting_as("work"):
            tasks.sweep_holds()

        assert mirror.pending().count() == 0

    def test_a_store_that_is_down_leaves_it_pending(self, centre, monkeypatch):
        def fail(*args: object, **kwargs: object) -> None:
            raise StoreUnavailable

        monkeypatch.setattr(ObjectStore, "put_legal_hold", fail)
        with centre.stage.acting_as("work"), pytest.raises(StoreUnavailable):
            tasks.sweep_holds()

        assert mirror.pending().count() == 2

    def test_every_entry_of_the_timetable_and_of_the_mirror_is_a_task(self):
        app.loader.import_default_modules()
        rung = {str(entry["task"]) for entry in settings.CELERY_BEAT_SCHEDULE.values()} | {
            mirror.TASK
        }

        assert {name for name in rung if name.startswith("retention.")} <= set(app.tasks)
