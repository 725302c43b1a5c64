"""Opens a conversation's page: its facts, its people, and of a chat every message."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.utils.functional import cached_property

from audit.events import EventType
from recordings.content_keys import content_key, party_details
from recordings.encryption import decrypt_bytes
from recordings.keyring import Keyring
from recordings.models import Conversation, Dialog, Party
from recordings.objectstore import ObjectStore
from recordings.operations.access import Looker, open_conversation


@dataclass(frozen=True, slots=True)
class SeenParty:
    """A party as the page shows her."""

    party: Party
    name: str


@dataclass(frozen=True, slots=True)
class SeenMessage:
    """One message, who wrote it, and how long the silence before it was."""

    at: datetime
    party: SeenParty | None
    text: str
    edited: bool
    deleted: bool
    gap_seconds: float


@dataclass(frozen=True)
class SeenConversation:
    """A conversation that has been opened to somebody: the event is committed."""

    conversation: Conversation
    parties: list[SeenParty]
    dialogs: list[Dialog]
    messages: list[SeenMessage]

    @cached_property
    def customer(self) -> SeenParty | None:
        """The first party who is a customer."""
        return next((seen for seen in self.parties if seen.party.role == "customer"), None)


def read_conversation(
    *, looker: Looker, conversation_id: UUID, store: ObjectStore, keyring: Keyring
) -> SeenConversation:
    """
    Open the page of a conversation; a chat's messages come with it.

    Raises AccessRefused, AuditUnavailable, StoreUnavailable, KeyMissing, KeyringUnavailable,
    ContentAltered.
    """
    kind = Conversation.objects.filter(pk=conversation_id).values_list("kind", flat=True).first()
    is_chat = kind == Conversation.Kind.CHAT
    conversation = open_conversation(
        looker=looker,
        conversation_id=conversation_id,
        event_type=EventType.CHAT_READ if is_chat else EventType.CONVERSATION_VIEWED,
        facts={"kind": kind} if kind else None,
    )
    key = content_key(conversation=conversation, keyring=keyring)
    parties = [
        SeenParty(party, _name_of(party, key))
        for party in conversation.parties.select_related("user")
    ]
    dialogs = list(conversation.dialogs.select_related("stored_object"))
    return SeenConversation(
        conversation=conversation,
        parties=parties,
        dialogs=dialogs,
        messages=_messages(dialogs=dialogs, parties=parties, key=key, store=store),
    )


def _name_of(party: Party, key: bytes) -> str:
    if party.user is not None:
        return party.user.full_name
    return str(party_details(party=party, key=key).get("name") or "")


def _messages(
    *, dialogs: list[Dialog], parties: list[SeenParty], key: bytes, store: ObjectStore
) -> list[SeenMessage]:
    by_position = {seen.party.position: seen for seen in parties}
    messages: list[SeenMessage] = []
    for dialog in dialogs:
        if dialog.kind != Dialog.Kind.TEXT:
            continue
        stored = dialog.stored_object
        body = decrypt_bytes(
            store.get(stored.key, stored.version_id),
            key=key,
            associated_data=dialog.pk.bytes,
        )
        for message in orjson.loads(body)["messages"]:
            at = datetime.fromisoformat(message["at"])
            before = messages[-1].at if messages else at
            messages.append(_message(message, at, before, by_position))
    return messages


def _message(
    message: dict[str, Any], at: datetime, before: datetime, parties: dict[int, SeenParty]
) -> SeenMessage:
    return SeenMessage(
        at=at,
        party=parties.get(message["party"]) if message["party"] is not None else None,
        text=message["text"],
        edited=message["edited"],
        deleted=message["deleted"],
        gap_seconds=(at - before).total_seconds(),
    )
