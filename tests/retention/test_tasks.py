"""The workers' doorbells: each rings for one deed and carries identifiers only."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings

from accounts.roles import Role
from audit import clock
from config.celery import app, end_after_batch
from recordings.objectstore import ObjectStore, StoreUnavailable
from retention import tasks
from retention.operations import criteria, holds, liftings, mirror
from tests.harness.roles import Stage
from tests.retention import given
from tests.retention.centre import Centre
from tests.retention.lifted import close


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

    def test_a_worker_asked_to_end_begins_no_further_batch(self, centre):
        (due,) = centre.capture()

        end_after_batch()
        try:
            with centre.stage.acting_as("purge"):
                tasks.purge()
        finally:
            tasks.ending.clear()

        due.refresh_from_db()
        assert due.state == "kept"

    def test_mirror_holds_tells_the_store_of_the_named_ones(self, centre):
        ids = [str(pk) for pk in set(mirror.pending().values_list("conversation_id", flat=True))]

        with centre.stage.acting_as("work"):
            tasks.mirror_holds(conversation_ids=[])
            assert mirror.pending().count() == 2
            tasks.mirror_holds(conversation_ids=ids)

        assert mirror.pending().count() == 0

    def test_apply_criteria_and_lift_holds_go_on_to_the_end(self, centre, monkeypatch):
        calls = centre.capture(3, destroy_after=clock.now() + timedelta(days=1))
        bea, bo = (given.a_user(name, Role.COMPLIANCE_OFFICER) for name in ("Bea", "Bo"))
        matter = given.a_matter(centre.controller, opened_by=bea)
        draft = criteria.Draft(kinds=("call",))
        criteria.set_criterion(matter=matter, draft=draft, set_by=bea, now=clock.now())
        monkeypatch.setattr(liftings, "BATCH_SIZE", 1)

        with centre.stage.acting_as("work"):
            tasks.apply_criteria()
        assert matter.holds.active().count() == len(calls) + 1
        close(matter, people=(bea, bo), keyring=centre.keyring)
        assert matter.holds.active().count() == len(calls)
        with centre.stage.acting_as("work"):
            tasks.lift_holds()

        assert not matter.holds.active().exists()

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
