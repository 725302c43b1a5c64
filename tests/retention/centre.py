"""A company at work: captures conversations, purges them, asks the store and the audit log."""

from __future__ import annotations

from typing import Any

from audit import clock
from audit.models import Event
from recordings.keyring import FileKeyring
from recordings.models import Conversation
from recordings.objectstore import ListedVersion, ObjectStore
from retention.operations.purge.run import Tally, purge
from tests.harness.roles import Stage
from tests.retention import given


class Centre:
    """A company with a phone system, and the store as each identity."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.keyring = FileKeyring(stage.keys)
        with stage.acting_as("work"):
            self.content = ObjectStore.for_content()
        with stage.acting_as("purge"):
            self.listing, self.anchor = ObjectStore.for_purge(), ObjectStore.for_anchor()
        self.controller = given.a_controller()
        self.source = given.a_source(self.controller)

    def capture(self, count: int = 1, **details: Any) -> list[Conversation]:
        """That many conversations, due unless told."""
        now = clock.now()
        return [
            given.a_conversation(
                self.source, store=self.content, keyring=self.keyring, now=now, **details
            )
            for _ in range(count)
        ]

    def purge(self, **changed: Any) -> Tally:
        """One run, with the rights of the purge."""
        with self.stage.acting_as("purge"):
            stores = {"content": self.listing, "anchor": self.anchor}
            return purge(**{**stores, "clock": clock.now, **changed})

    def versions_of(self, conversation: Conversation) -> list[ListedVersion]:
        """Every version and delete marker that the store has of it."""
        folder = f"{conversation.ended_at:%Y/%m/%d}/{conversation.pk}/"
        return list(self.listing.list_versions(prefix=folder))


def counted(event_type: str) -> int:
    """How many events there are of that type."""
    return Event.objects.filter(event_type=event_type).count()
