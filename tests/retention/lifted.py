"""Lifts and closes as two persons do."""

from __future__ import annotations

from accounts.models import User
from accounts.roles import Role
from audit import clock
from recordings.keyring import Keyring
from recordings.models import Conversation
from retention.models import Lifting, Matter
from retention.operations.liftings import agree_to_lifting, propose_closing, propose_lifting
from tests import factories
from tests.factories import Centre

REASON = "The dispute is settled."
People = tuple[User, User]


def lift(matter: Matter, *conversations: Conversation, people: People, keyring: Keyring) -> Lifting:
    """One proposes to lift the matter's holds on the conversations, the other agrees."""
    proposed = propose_lifting(
        matter=matter,
        conversation_ids=[conversation.pk for conversation in conversations],
        reason=REASON,
        proposed_by=people[0],
        now=clock.now(),
    )
    return agree_to_lifting(lifting=proposed, agreed_by=people[1], keyring=keyring, now=clock.now())


def close(matter: Matter, *, people: People, keyring: Keyring) -> Lifting:
    """One proposes to close the matter, the other agrees."""
    proposed = propose_closing(matter=matter, reason=REASON, proposed_by=people[0], now=clock.now())
    return agree_to_lifting(lifting=proposed, agreed_by=people[1], keyring=keyring, now=clock.now())


def second_officer(centre: Centre) -> User:
    """Another compliance officer of Vakka."""
    person = factories.person("Oona Officer")
    factories.give_role(person, Role.COMPLIANCE_OFFICER, centre.vakka)
    return person
