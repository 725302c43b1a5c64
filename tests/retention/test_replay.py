"""A restored backup brings nothing back: it stays closed until the ledger has been replayed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection

from audit import clock
from audit.checks import NotOpen, refuse_unless_open
from audit.models import Event
from recordings.models import Conversation
from recordings.objectstore import ObjectStore, StoreUnavailable
from retention.models import Destruction, LedgerEntry, PurgeRun
from retention.operations import opening
from retention.operations.purge.replay import Replayed, replay
from retention.operations.purge.run import PurgeStopped
from tests.harness.databases import clone
from tests.retention import restored
from tests.retention.centre import Centre, counted


@pytest.fixture
def centre(stage):
    """A company at work, on the stage of this test."""
    return Centre(stage)


@pytest.fixture
def lost(centre, tmp_path):
    """A conversation that was destroyed after the backup that is now restored."""
    (due,) = centre.capture()
    backup = restored.dump(centre.stage, tmp_path / "backup")
    centre.purge()
    restored.restore(centre.stage, backup)
    return due


def run_replay(centre: Centre, **changed) -> Replayed:
    """One replay, with the rights of the purge."""
    with centre.stage.acting_as("purge"):
        return replay(
            **{
                "reader": ObjectStore.for_anchor_reading(),
                "content": centre.listing,
                "anchor": centre.anchor,
                "clock": clock.now,
                **changed,
            }
        )


def is_open(centre: Centre, role: str = "web") -> bool:
    """Whether a process that has just started opens."""
    opening.forget()
    with centre.stage.acting_as(role):
        try:
            refuse_unless_open()
        except NotOpen:
            return False
    return True


class TestRestoredBackup:
    def test_is_closed_until_replayed_and_then_nothing_is_back(self, centre, lost):
        lost.refresh_from_db()
        assert (lost.state, lost.wrapped_key is None) == ("kept", False)
        for role in ("web", "work", "purge"):
            assert not is_open(centre, role)
        with pytest.raises(PurgeStopped, match="restored from a backup"):
            centre.purge()

        done = run_replay(centre)

        lost.refresh_from_db()
        assert (done.named, done.destroyed_again, done.contradicted) == (1, 1, [])
        assert (lost.state, lost.wrapped_key) == ("destroyed", None)
        assert centre.versions_of(lost) == []
        assert all(is_open(centre, role) for role in ("web", "work", "purge"))
        assert centre.purge().due == 0
