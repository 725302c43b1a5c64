"""Law 6: the worker is killed at each step of a purge; another run finishes, and does it once."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from audit import clock
from audit.models import Event
from config.servers import Servers
from config.servers.identities import CONTENT_BUCKET
from recordings.models import Conversation
from recordings.objectstore import ObjectStore
from retention.models import Destruction, PurgeRun
from retention.operations.purge.run import purge
from tests.factories import Centre, sound_of
from tests.harness.stops import stopped_at, wait_for_it
from tests.harness.worker import ring, working

# Where the worker stands when it is killed: in the middle of each step's own transaction.
STEPS = {
    "withdraw": ("recordings_conversation", "NEW.state = 'withdrawn' AND OLD.state = 'kept'"),
    "destroy the key": (
        "recordings_conversation",
        "NEW.wrapped_key IS NULL AND OLD.wrapped_key IS NOT NULL",
    ),
    "note the ledger": ("retention_destruction", "NEW.ledger_key <> OLD.ledger_key"),
    "conclude": ("recordings_conversation", "NEW.state = 'destroyed'"),
}
ONCE = ("conversation.withdrawn", "content_key.destroyed", "conversation.destroyed")
TASK = "retention.tasks.purge"


def versions_of(servers: Servers, conversation: Conversation) -> list[str]:
    """Every version and delete marker under the conversation, asked as the administrator."""
    listed = servers.s3("admin").list_object_versions(
        Bucket=CONTENT_BUCKET,
        Prefix=f"{conversation.ended_at:%Y/%m/%d}/{conversation.pk}/",
    )
    return [one["Key"] for kind in ("Versions", "DeleteMarkers") for one in listed.get(kind, [])]


class TestKilledWorker:
    @pytest.mark.parametrize("step", STEPS)
    def test_leaves_what_the_next_run_finishes_once(
        self, centre: Centre, servers: Servers, step: str
    ):
        due = [centre.call(), centre.chat(), centre.chat()]
        kept = centre.call()
        for conversation in due:
            centre.end(conversation, at=clock.now() - timedelta(hours=1))
        assert all(versions_of(servers, one) for one in due)
        table, condition = STEPS[step]
        with working(centre.stage, "purge") as worker:
            with stopped_at(centre.stage, table=table, condition=condition):
                ring(TASK)
                wait_for_it(centre.stage)
                worker.kill()
        assert Conversation.objects.filter(state="destroyed").count() == 0

        with centre.stage.acting_as("purge"):
            purge(content=ObjectStore.for_purge(), anchor=ObjectStore.for_anchor(), clock=clock.now)

        ids = {one.pk for one in due}
        gone = Conversation.objects.filter(state="destroyed", wrapped_key=None)
        assert set(gone.values_list("pk", flat=True)) == ids
        assert dict.fromkeys(ids, 1) == Counter(
            Destruction.objects.filter(concluded_at__isnull=False).values_list(
                "conversation", flat=True
            )
        )
        told = Event.objects.filter(event_type__in=ONCE).values_list("conversation", "event_type")
        assert Counter(told) == {(pk, event_type): 1 for pk in ids for event_type in ONCE}
        assert [versions_of(servers, one) for one in due] == [[], [], []]
        assert not PurgeRun.objects.exclude(state=PurgeRun.State.FINISHED).exists()
        # And nothing more than was due.
        kept.refresh_from_db()
        assert kept.state == "kept"
        assert sound_of(kept).stored_object.key in versions_of(servers, kept)
