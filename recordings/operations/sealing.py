"""Encrypts one object on its way to the store and keeps count of what was stored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from recordings.encryption import HEADER_BYTES, encrypt_chunks
from recordings.objectstore import ObjectStore


@dataclass(frozen=True, slots=True)
class Sealed:
    """What was stored: where, which version, how large, and the digest of the ciphertext."""

    key: str
    version_id: str
    plain_size_bytes: int
    stored_size_bytes: int
    ciphertext_sha256: bytes
    stream_header: bytes


def seal(
    *,
    store: ObjectStore,
    key: str,
    chunks: Iterable[bytes],
    content_key: bytes,
    object_id: UUID,
    legal_hold: bool = False,
) -> Sealed:
    """
    Encrypt the chunks under the content key and put them; the object's id is bound to them.

    Raises StoreUnavailable and StoreRefused.
    """
    counter = _Counter()
    sealed = encrypt_chunks(counter.plain(chunks), key=content_key, associated_data=object_id.bytes)
    version_id = store.put(key, counter.stored(sealed), legal_hold=legal_hold)
    return Sealed(
        key=key,
        version_id=version_id,
        plain_size_bytes=counter.plain_bytes,
        stored_size_bytes=counter.stored_bytes,
        ciphertext_sha256=counter.digest.digest(),
        stream_header=bytes(counter.beginning),
    )


class _Counter:
    """Counts what passes."""

    def __init__(self) -> None:
        self.plain_bytes = 0
        self.stored_bytes = 0
        self.digest = hashlib.sha256()
        self.beginning = bytearray()

    def plain(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.plain_bytes += len(chunk)
            yield chunk

    def stored(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.stored_bytes += len(chunk)
            self.digest.update(chunk)
            self.beginning += chunk[: HEADER_BYTES - len(self.beginning)]
            yield chunk
