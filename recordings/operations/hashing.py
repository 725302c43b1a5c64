"""Keyed hashes by which what was captured is known again, without a digest anyone could try out."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO
from uuid import UUID

import orjson

from recordings.formats.incoming import (
    CannotCapture,
    IncomingConversation,
    IncomingFile,
)
from recordings.keyring import Keyring, hash_key_name

CHUNK_BYTES = 256 * 1024


@contextmanager
def opened(file: IncomingFile) -> Iterator[BinaryIO]:
    """
    Open the bytes of a recording.

    Raises CannotCapture when they cannot be read.
    """
    if file.body is not None:
        yield BytesIO(file.body)
        return
    assert file.path is not None
    try:
        stream = file.path.open("rb")
    except OSError as error:
        raise CannotCapture("The recording that is named cannot be read.") from error
    with stream:
        yield stream


def chunks_of(stream: BinaryIO) -> Iterator[bytes]:
    """Read a stream to its end."""
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def external_id_hash(
    *, keyring: Keyring, controller_id: UUID, source_id: UUID, external_id: str
) -> bytes:
    """Hash what the source calls the conversation."""
    return keyring.keyed_hash(
        name=hash_key_name(controller_id=controller_id),
        chunks=[b"external_id\0", source_id.bytes, external_id.encode()],
    )


def identifier_hash(*, keyring: Keyring, controller_id: UUID, kind: str, value: str) -> bytes:
    """Hash a telephone number, an address or another name of a data subject."""
    return keyring.keyed_hash(
        name=hash_key_name(controller_id=controller_id),
        chunks=[b"identifier\0", kind.encode(), b"\0", value.encode()],
    )


def reference_hash(*, keyring: Keyring, controller_id: UUID, kind: str, value: str) -> bytes:
    """Hash the number of a contract or claim; spaces and the case of letters make no difference."""
    return keyring.keyed_hash(
        name=hash_key_name(controller_id=controller_id),
        chunks=[b"reference\0", kind.encode(), b"\0", "".join(value.split()).upper().encode()],
    )


def file_hash(
    *, keyring: Keyring, controller_id: UUID, file: IncomingFile, max_bytes: int
) -> bytes:
    """
    Hash the bytes of a recording, and compare them with the hash the source declared.

    Raises CannotCapture when they cannot be read, are empty or too large, or differ.
    """
    hasher = keyring.hasher(hash_key_name(controller_id=controller_id))
    declared = _declared_digest(file.content_hash)
    size = 0
    with opened(file) as stream:
        for chunk in chunks_of(stream):
            size += len(chunk)
            if size > max_bytes:
                raise CannotCapture(f"The recording is larger than {max_bytes} bytes.")
            hasher.update(chunk)
            if declared:
                declared[0].update(chunk)
    if size == 0:
        raise CannotCapture("The recording is empty.")
    if declared and declared[0].digest() != declared[1]:
        raise CannotCapture("The recording does not match the hash that the source declares.")
    return hasher.digest()


def _declared_digest(declared: str | None) -> tuple[hashlib._Hash, bytes] | None:
    if declared is None:
        return None
    try:
        if declared.startswith("sha256:"):
            return hashlib.sha256(), bytes.fromhex(declared.removeprefix("sha256:"))
        if declared.startswith("sha512-"):
            text = declared.removeprefix("sha512-").encode()
            return hashlib.sha512(), _decoded(text)
    except ValueError as error:
        raise CannotCapture("The hash that the source declares cannot be read.") from error
    raise CannotCapture("The hash that the source declares is of a kind not known here.")


def _decoded(text: bytes) -> bytes:
    decoded = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    if urlsafe_b64encode(decoded).rstrip(b"=") != text.rstrip(b"="):
        raise ValueError("not base64url")
    return decoded


def conversation_hash(
    *,
    keyring: Keyring,
    controller_id: UUID,
    incoming: IncomingConversation,
    file_hashes: list[bytes],
) -> bytes:
    """
    Hash everything the source says of a conversation, its recordings included.

    What a reader's version adds must not make the same delivery look different, so only what was
    sent counts, under names that stay.
    """
    said: dict[str, object] = {
        "kind": incoming.kind,
        "direction": incoming.direction,
        "started_at": incoming.started_at,
        "ended_at": incoming.ended_at,
        "language": incoming.language,
        "parties": [
            [party.role, party.name, party.login, party.identifiers] for party in incoming.parties
        ],
        "segments": [
            [segment.from_at, segment.until_at, segment.team, segment.queue, segment.agent]
            for segment in incoming.segments
        ],
        "messages": [
            [
                message.at,
                message.party,
                message.text,
                message.mediatype,
                message.message_id,
                message.edited,
                message.deleted,
            ]
            for message in incoming.messages
        ],
        "subject": incoming.subject,
        "notice": incoming.notice,
        "informed_by": incoming.informed_by,
        "linked_to": incoming.linked_to,
        "tags": incoming.tags,
    }
    # What manifests did not know before must leave the hash of those that do not say it as it was.
    if incoming.outcome is not None:
        said["outcome"] = incoming.outcome
    if incoming.references:
        said["references"] = incoming.references
    return keyring.keyed_hash(
        name=hash_key_name(controller_id=controller_id),
        chunks=[
            b"conversation\0",
            orjson.dumps(said, option=orjson.OPT_SORT_KEYS),
            b"\0",
            *file_hashes,
        ],
    )
