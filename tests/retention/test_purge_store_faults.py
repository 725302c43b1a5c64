"""A purge against a store that fails, drops answers, lies, hangs: nothing is gone but what is."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from django.test import override_settings

from audit import clock
from faults.proxy import Asked, Proxy, Way, first, proxied, share
from recordings.models import Conversation, StoredObject
from recordings.objectstore import ObjectStore, identity
from retention.models import Destruction
from retention.operations.purge.run import PurgeStopped, Tally, purge
from tests.harness.roles import ProxiedStage, Stage
from tests.retention.centre import Centre, counted


@pytest.fixture
def centre(stage: Stage) -> Centre:
    """A company at work, on the stage of this test."""
    return Centre(stage)


@pytest.fixture
def proxy(stage: Stage) -> Iterator[Proxy]:
    """What stands between us and the store."""
    with proxied(stage.environment("purge")["S3_ENDPOINT_URL"]) as running:
        yield running


def purge_through(proxy: Proxy, centre: Centre) -> Tally:
    """One run by way of the proxy."""
    with ProxiedStage.of(centre.stage, proxy.url).acting_as("purge"):
        return purge(
            content=ObjectStore.for_purge(), anchor=ObjectStore.for_anchor(), clock=clock.now
        )


def test_it_passes_everything_on_as_it_is(centre, proxy):
    with ProxiedStage.of(centre.stage, proxy.url).acting_as("work"):
        centre.content = ObjectStore.for_content()
    (due,) = centre.capture()

    assert purge_through(proxy, centre).destroyed == 1
    assert centre.versions_of(due) == []
    assert proxy.calls["PutObject"] == 3  # two of the conversation, one of the ledger
    assert proxy.calls["DeleteObjects"] >= 1
    assert proxy.calls["ListObjectVersions"] >= 1


class TestStoreThatFails:
    @override_settings(PURGE_BATCH_SIZE=3)
    def test_of_a_third_of_all_calls_is_asked_again_and_at_last_has_done_all(
        self, centre, proxy, monkeypatch
    ):
        monkeypatch.setattr("recordings.objectstore.calling.FIRST_PAUSE_SECONDS", 0.005)
        due = centre.capture(12)
        proxy.plan = share(
            0.3, Way.INTERNAL_ERROR, Way.SLOW_DOWN, Way.DROP, chance=random.Random(9)
        )

        for _ in range(20):
            try:
                if purge_through(proxy, centre).postponed == 0:
                    break
            except PurgeStopped:
                continue

        assert sum(proxy.faults.values()) > 5
        assert max(proxy.repeated[each] for each in proxy.repeated if "DeleteObjects" in each) <= 5
        assert Conversation.objects.filter(state="destroyed").count() == 12
        assert [centre.versions_of(one) for one in due] == [[]] * 12
        assert not Destruction.objects.filter(needs_person_at__isnull=False).exists()
        assert counted("conversation.destroyed") == 12

    @pytest.mark.parametrize("operation", ["DeleteObjects", "PutObject", "ListObjectVersions"])
    def test_by_losing_an_answer_after_the_deed_leaves_nothing_and_counts_once(
        self, centre, proxy, operation
    ):
        due = centre.capture(3)
        proxy.plan = first(Way.LOSE, operation)

        assert purge_through(proxy, centre).destroyed == 3
        assert proxy.faults == {Way.LOSE: 1}
        assert [centre.versions_of(one) for one in due] == [[], [], []]
        assert counted("conversation.destroyed") == 3
        assert counted("ledger.written") == 1

    def test_by_losing_the_answer_to_a_capture_leaves_one_version(self, centre, proxy):
        with ProxiedStage.of(centre.stage, proxy.url).acting_as("work"):
            centre.content = ObjectStore.for_content()
        proxy.plan = first(Way.LOSE, "PutObject", times=2)
        (kept,) = centre.capture()

        stored = {(row.key, row.version_id) for row in StoredObject.objects.all()}
        assert proxy.faults[Way.LOSE] == 2
        assert {tuple(version[:2]) for version in centre.versions_of(kept)} == stored

    def test_by_lying_about_one_destroys_the_others(self, centre, proxy):
        liar, *others = centre.capture(4)

        def plan(asked: Asked) -> Way | None:
            is_about_it = str(liar.pk).encode() in asked.body
            return Way.LIE if asked.operation == "DeleteObjects" and is_about_it else None

        proxy.plan = plan
        with override_settings(PURGE_BATCH_SIZE=1):
            tally = purge_through(proxy, centre)

        line = Destruction.objects.get(conversation=liar)
        assert (tally.destroyed, tally.postponed) == (len(others), 1)
        assert (line.confirmed_at, line.concluded_at) == (None, None)
        assert "still in the store" in line.problem
        assert len(centre.versions_of(liar)) == 2

    def test_by_hanging_ends_the_run_in_time_and_loses_nothing(self, centre, proxy, monkeypatch):
        monkeypatch.setattr(identity, "READ_SECONDS", 0.5)
        identity._client.cache_clear()
        (due,) = centre.capture()
        proxy.plan = first(Way.HANG, "DeleteObjects", times=9)
        began = time.monotonic()
        monkeypatch.setattr("recordings.objectstore.calling.REPEAT_WITHIN_SECONDS", 0.1)

        tally = purge_through(proxy, centre)

        assert time.monotonic() - began < 3
        assert (tally.destroyed, tally.postponed) == (0, 1)
        assert Destruction.objects.get().attempts == 0
        assert len(centre.versions_of(due)) == 2
        identity._client.cache_clear()
        assert centre.purge().destroyed == 1
