"""A run over twenty thousand in which the first always fails: all the others go in that run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from django.test import override_settings

from audit import clock
from bench.centre import Centre
from bench.due import left_in_store, make_due
from bench.measuring import Scale
from faults.outcome import Outcome
from recordings.models import Conversation
from recordings.objectstore import ObjectStore, StoreError, Version
from retention.models import Destruction
from retention.operations.purge.run import purge

CONVERSATIONS = {Scale.SMALL: 2_000, Scale.FULL: 20_000}


class OneStays(ObjectStore):
    """A store that never removes the objects of one conversation, whatever it answers."""

    stays = ""

    def delete_versions(self, versions: Sequence[tuple[str, str]]) -> dict[Version, StoreError]:
        """Remove all others."""
        return super().delete_versions([each for each in versions if self.stays not in each[0]])


def run(centre: Centre, scale: Scale) -> Iterator[Outcome]:
    """Purge them, once."""
    count = CONVERSATIONS[scale]
    due = make_due(centre, count)
    first = Conversation.objects.filter(pk__in=due.ids).order_by("destroy_after", "pk").first()
    assert first is not None
    with (
        override_settings(PURGE_BRAKE_MINIMUM=10**9),
        centre.stage.acting_as("purge"),
    ):
        store = OneStays.for_purge()
        store.stays = str(first.pk)
        began = time.perf_counter()
        tally = purge(content=store, anchor=ObjectStore.for_anchor(), clock=clock.now)
        took = time.perf_counter() - began
    left = Conversation.objects.filter(pk__in=due.ids).exclude(state="destroyed")
    waiting = Destruction.objects.filter(conversation=first, next_try_at__isnull=False).count()
    yield Outcome(
        "purge_the_first_always_fails",
        list(left.values_list("pk", flat=True)) == [first.pk]
        and waiting == 1
        and left_in_store(centre, [key for key, _ in due.objects]) == 1,
        {
            "conversations": count,
            "destroyed": tally.destroyed,
            "put_off": tally.postponed,
            "seconds": round(took, 1),
        },
    )
