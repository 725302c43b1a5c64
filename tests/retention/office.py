"""A company with its compliance officers, a case handler and an open matter."""

from __future__ import annotations

from typing import Any

from accounts.models import User
from accounts.roles import Role
from audit import clock
from recordings.models import Conversation
from recordings.objectstore import ObjectStore
from retention.models import Criterion, Matter
from retention.operations import criteria, holds, liftings, mirror
from tests.harness.roles import Stage
from tests.retention import given
from tests.retention.centre import Centre
from tests.retention.lifted import lift


class Office(Centre):
    """The company, with a compliance officer, a case handler and an open matter."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        given.a_purpose("matter")
        self.bea = given.a_user("Bea", Role.COMPLIANCE_OFFICER, controller=self.controller)
        self.bo = given.a_user("Bo", Role.COMPLIANCE_OFFICER, controller=self.controller)
        self.hanna = given.a_user("Hanna", Role.CASE_HANDLER, controller=self.controller)
        self.matter = given.a_matter(self.controller, opened_by=self.bea)

    def hold(
        self, *conversations: Conversation, matter: Matter | None = None, by: User | None = None
    ) -> holds.PlacedHolds:
        """Hold the conversations, with the rights of the web."""
        with self.stage.acting_as("web"):
            return holds.place_hold(
                matter=matter or self.matter,
                conversation_ids=[conversation.pk for conversation in conversations],
                placed_by=by or self.bea,
                keyring=self.keyring,
                now=clock.now(),
            )

    def lift(self, *conversations: Conversation, matter: Matter | None = None) -> None:
        """Lift the matter's holds on the conversations."""
        with self.stage.acting_as("web"):
            lift(
                matter or self.matter,
                *conversations,
                people=(self.bea, self.bo),
                keyring=self.keyring,
            )

    def name_handler(self, handler: User | None = None) -> None:
        """Name a handler of the matter."""
        with self.stage.acting_as("web"):
            holds.add_handler(
                matter=self.matter,
                handler=handler or self.hanna,
                added_by=self.bea,
                now=clock.now(),
            )

    def mirror(self) -> int:
        """Tell the store of all holds, with the rights of the worker."""
        with self.stage.acting_as("work"):
            return mirror.mirror_holds(store=ObjectStore.for_content(), now=clock.now())

    def may_hear(self, user: User, conversation: Conversation) -> bool:
        """Whether she may have it for handling a matter, now."""
        purpose = given.a_purpose("matter")
        found = Conversation.objects.open_to(user=user, purpose=purpose, at=clock.now())
        return found.filter(pk=conversation.pk).exists()

    def set_criterion(self, matter: Matter | None = None, **said: Any) -> Criterion:
        """Hold for the matter what matches, with the rights of the web."""
        with self.stage.acting_as("web"):
            return criteria.set_criterion(
                matter=matter or self.matter,
                draft=criteria.Draft(**said),
                set_by=self.bea,
                now=clock.now(),
            )

    def apply(self, *, batch_size: int = 2) -> int:
        """Apply all criteria, with the rights of the worker. Returns how many calls it took."""
        calls = 0
        with self.stage.acting_as("work"):
            while criteria.apply_next(now=clock.now(), keyring=self.keyring, batch_size=batch_size):
                calls += 1
        return calls

    def lift_rest(self) -> None:
        """Lift all that is agreed to, with the rights of the worker."""
        with self.stage.acting_as("work"):
            while liftings.lift_next(now=clock.now(), keyring=self.keyring, batch_size=2):
                pass
