"""Opens a conversation's content key, and the small values that rows keep under it."""

from __future__ import annotations

from typing import Any

import orjson

from recordings.encryption import decrypt_bytes
from recordings.keyring import KeyMissing, Keyring
from recordings.models import Conversation, Dialog, Party, Rendition


def content_key(*, conversation: Conversation, keyring: Keyring) -> bytes:
    """
    Unwrap the key of a conversation that is kept.

    Raises KeyMissing, KeyDoesNotFit and KeyringUnavailable.
    """
    if conversation.wrapped_key is None:
        raise KeyMissing
    return keyring.unwrap(
        kek_name=conversation.kek_name,
        wrapped_key=bytes(conversation.wrapped_key),
        context=conversation.pk.bytes,
    )


def party_details(*, party: Party, key: bytes) -> dict[str, Any]:
    """Read what a party is called and reached by. Raises ContentAltered."""
    if party.sealed_details is None:
        return {}
    details: dict[str, Any] = orjson.loads(
        decrypt_bytes(party.sealed_details, key=key, associated_data=party.pk.bytes)
    )
    return details


def dialog_name(*, dialog: Dialog, key: bytes) -> str:
    """Read what the source called the file. Raises ContentAltered."""
    if dialog.sealed_name is None:
        return ""
    return decrypt_bytes(dialog.sealed_name, key=key, associated_data=dialog.pk.bytes).decode()


def rendition_body(*, rendition: Rendition, key: bytes) -> bytes:
    """Read a rendition that lies in its row. Raises ContentAltered."""
    if rendition.sealed_body is None:
        raise ValueError("the rendition lies in the store")
    return decrypt_bytes(rendition.sealed_body, key=key, associated_data=rendition.pk.bytes)
