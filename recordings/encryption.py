"""Encrypts content in segments that can be read at random, each checked before it is released."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

# Wire format: Tink's "AES-GCM-HKDF Streaming AEAD" with AES256_GCM_HKDF and HKDF-SHA256,
# https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming
KEY_BYTES = 32
SALT_BYTES = 32
NONCE_PREFIX_BYTES = 7
HEADER_BYTES = 1 + SALT_BYTES + NONCE_PREFIX_BYTES
TAG_BYTES = 16
SEGMENT_BYTES = 64 * 1024
PLAIN_SEGMENT_BYTES = SEGMENT_BYTES - TAG_BYTES
# The header counts as part of the first segment, which is shorter by it.
FIRST_PLAIN_SEGMENT_BYTES = PLAIN_SEGMENT_BYTES - HEADER_BYTES
# The segment number is 32 bits of the nonce.
MAX_SEGMENTS = 2**32


class ContentAltered(Exception):
    """What is stored is not what was encrypted: altered, cut, moved, or under another key."""

    def __init__(self, sentence: str = "The stored content has been altered or cut.") -> None:
        super().__init__(sentence)


@dataclass(frozen=True, slots=True)
class SegmentSpan:
    """
    The whole segments that hold a range of plain bytes.

    `stored_first` and `stored_last` are offsets into the stored object, both included, without
    the header. `skip_bytes` of the plain text before the range are to be dropped, and
    `length_bytes` then given out.
    """

    first_segment: int
    last_segment: int
    ends_content: bool
    stored_first: int
    stored_last: int
    skip_bytes: int
    length_bytes: int


def generate_key() -> bytes:
    """A new content key: 32 random bytes."""
    return os.urandom(KEY_BYTES)


def stored_size(plain_size: int) -> int:
    """Bytes that content of `plain_size` bytes takes when encrypted."""
    if plain_size < 0:
        raise ValueError("A size is not negative.")
    return HEADER_BYTES + plain_size + _segment_count(plain_size) * TAG_BYTES


def plain_size(stored_size: int) -> int:
    """
    Bytes of content in an encrypted object of `stored_size` bytes.

    Raises ContentAltered if no content gives that size.
    """
    segments = -(-stored_size // SEGMENT_BYTES)
    size = stored_size - HEADER_BYTES - segments * TAG_BYTES
    if size < 0 or _segment_count(size) != segments:
        raise ContentAltered
    return size


def segments_for(first: int, last: int, plain_size: int) -> SegmentSpan:
    """
    Find the segments that hold plain bytes `first` to `last`, both included.

    Empty content has one segment, asked for with first=0, last=-1, plain_size=0.

    Raises ValueError if the range does not lie within the content.
    """
    if plain_size == 0 and (first, last) == (0, -1):
        return SegmentSpan(0, 0, True, HEADER_BYTES, HEADER_BYTES + TAG_BYTES - 1, 0, 0)
    if not 0 <= first <= last < plain_size:
        raise ValueError("The range does not lie within the content.")
    first_segment, last_segment = _segment_of(first), _segment_of(last)
    final_segment = _segment_count(plain_size) - 1
    stored_end = stored_size(plain_size)
    return SegmentSpan(
        first_segment=first_segment,
        last_segment=last_segment,
        ends_content=last_segment == final_segment,
        stored_first=max(first_segment * SEGMENT_BYTES, HEADER_BYTES),
        stored_last=min((last_segment + 1) * SEGMENT_BYTES, stored_end) - 1,
        skip_bytes=first - _plain_start(first_segment),
        length_bytes=last - first + 1,
    )


class SegmentEncrypter:
    """Encrypts one object as its bytes arrive; what it returns is to be stored in that order."""

    def __init__(self, *, key: bytes, associated_data: bytes) -> None:
        salt, self._nonce_prefix = os.urandom(SALT_BYTES), os.urandom(NONCE_PREFIX_BYTES)
        self._aead = _derive(key, salt, associated_data)
        self._pending = bytearray()
        self._segment_number = 0
        self._header: bytes = bytes([HEADER_BYTES]) + salt + self._nonce_prefix
        self._is_finalized = False

    def update(self, chunk: bytes | bytearray | memoryview) -> bytes:
        """Take plain bytes; return the segments that are complete, possibly none."""
        if self._is_finalized:
            raise ValueError("The object is already finalized.")
        self._pending += chunk
        parts: list[bytes] = []
        start, size = 0, self._next_plain_size()
        # A full segment waits until a byte follows it: only then is it known not to be the last.
        with memoryview(self._pending) as pending:
            while len(pending) - start > size:
                parts.append(self._seal(pending[start : start + size], is_last=False))
                start, size = start + size, PLAIN_SEGMENT_BYTES
        del self._pending[:start]
        return b"".join(parts)

    def finalize(self) -> bytes:
        """Return the last segment; an object without it does not decrypt to its end."""
        if self._is_finalized:
            raise ValueError("The object is already finalized.")
        self._is_finalized = True
        last = self._seal(self._pending, is_last=True)
        self._pending.clear()
        return last

    def _next_plain_size(self) -> int:
        return PLAIN_SEGMENT_BYTES if self._segment_number else FIRST_PLAIN_SEGMENT_BYTES

    def _seal(self, plain: bytearray | memoryview, *, is_last: bool) -> bytes:
        if self._segment_number >= MAX_SEGMENTS:
            raise ValueError("The object has too many segments.")
        nonce = _nonce(self._nonce_prefix, self._segment_number, is_last=is_last)
        sealed = self._aead.encrypt(nonce, plain, None)
        self._segment_number += 1
        if self._header:
            sealed, self._header = self._header + sealed, b""
        return sealed


class SegmentReader:
    """Decrypts single segments of one stored object, in any order."""

    def __init__(self, *, key: bytes, associated_data: bytes, header: bytes) -> None:
        """
        Take the object's first HEADER_BYTES bytes.

        Raises ContentAltered if they are no header; a header that was changed shows with the
        first segment.
        """
        if len(header) != HEADER_BYTES or header[0] != HEADER_BYTES:
            raise ContentAltered
        self._nonce_prefix = header[1 + SALT_BYTES :]
        self._aead = _derive(key, header[1 : 1 + SALT_BYTES], associated_data)

    def decrypt(
        self, *, segment_number: int, is_last: bool, ciphertext: bytes | bytearray | memoryview
    ) -> bytes:
        """
        Return the plain bytes of one whole segment.

        Raises ContentAltered if it is not exactly what was encrypted in this place of this
        object; then no byte of it is released.
        """
        nonce = _nonce(self._nonce_prefix, segment_number, is_last=is_last)
        try:
            return self._aead.decrypt(nonce, ciphertext, None)
        except InvalidTag as error:
            raise ContentAltered from error


class RangeDecrypter:
    """Turns the stored bytes of a span, as they arrive, into the plain bytes of its range."""

    def __init__(self, *, reader: SegmentReader, span: SegmentSpan) -> None:
        self._reader = reader
        self._span = span
        self._pending = bytearray()
        self._segment_number = span.first_segment
        self._expected_bytes = span.stored_last - span.stored_first + 1
        self._skip_bytes = span.skip_bytes
        self._left_bytes = span.length_bytes

    def update(self, chunk: bytes | bytearray | memoryview) -> bytes:
        """
        Take stored bytes; return the plain bytes of the segments that are complete and checked.

        Raises ContentAltered if a segment fails its check or more arrives than the span holds.
        """
        self._expected_bytes -= len(chunk)
        if self._expected_bytes < 0:
            raise ContentAltered
        self._pending += chunk
        parts: list[bytes] = []
        start = 0
        with memoryview(self._pending) as pending:
            while self._segment_number <= self._span.last_segment:
                size = SEGMENT_BYTES - (HEADER_BYTES if self._segment_number == 0 else 0)
                is_final = self._segment_number == self._span.last_segment
                if is_final and self._expected_bytes == 0:
                    size = len(pending) - start
                elif is_final or len(pending) - start < size:
                    break
                parts.append(self._open(pending[start : start + size], is_final=is_final))
                start += size
        del self._pending[:start]
        return b"".join(parts)

    def finalize(self) -> None:
        """Raises ContentAltered if the span did not arrive to its end."""
        if self._expected_bytes or self._left_bytes:
            raise ContentAltered

    def _open(self, ciphertext: memoryview, *, is_final: bool) -> bytes:
        plain = self._reader.decrypt(
            segment_number=self._segment_number,
            is_last=is_final and self._span.ends_content,
            ciphertext=ciphertext,
        )
        self._segment_number += 1
        wanted = plain[self._skip_bytes : self._skip_bytes + self._left_bytes]
        self._skip_bytes = 0
        self._left_bytes -= len(wanted)
        return wanted


def encrypt_chunks(
    chunks: Iterable[bytes], *, key: bytes, associated_data: bytes
) -> Iterator[bytes]:
    """Encrypt an object whose plain bytes arrive in chunks of any size."""
    encrypter = SegmentEncrypter(key=key, associated_data=associated_data)
    for chunk in chunks:
        if sealed := encrypter.update(chunk):
            yield sealed
    yield encrypter.finalize()


def encrypt_bytes(plain: bytes, *, key: bytes, associated_data: bytes) -> bytes:
    """
    Encrypt a value kept in the database, at the cost of 56 bytes.

    The format is that of stored objects: every value then has a key of its own, derived with a
    random salt, so that no number of values under one content key can make a nonce repeat, and
    there is one format to review.
    """
    encrypter = SegmentEncrypter(key=key, associated_data=associated_data)
    return encrypter.update(plain) + encrypter.finalize()


def decrypt_bytes(stored: bytes | memoryview, *, key: bytes, associated_data: bytes) -> bytes:
    """
    Decrypt a whole value or object.

    Raises ContentAltered if it is not what was encrypted under this key and associated data.
    """
    size = plain_size(len(stored))
    stored = memoryview(stored)
    reader = SegmentReader(
        key=key, associated_data=associated_data, header=bytes(stored[:HEADER_BYTES])
    )
    decrypter = RangeDecrypter(reader=reader, span=segments_for(0, size - 1, size))
    plain = decrypter.update(stored[HEADER_BYTES:])
    decrypter.finalize()
    return plain


def _derive(key: bytes, salt: bytes, associated_data: bytes) -> AESGCM:
    if len(key) != KEY_BYTES:
        raise ValueError("A content key has 32 bytes.")
    derivation = HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=salt, info=associated_data)
    return AESGCM(derivation.derive(key))


def _nonce(prefix: bytes, segment_number: int, *, is_last: bool) -> bytes:
    return prefix + segment_number.to_bytes(4, "big") + bytes([is_last])


def _segment_count(plain_size: int) -> int:
    return max(1, -(-(plain_size + HEADER_BYTES) // PLAIN_SEGMENT_BYTES))


def _segment_of(plain_offset: int) -> int:
    return (plain_offset + HEADER_BYTES) // PLAIN_SEGMENT_BYTES


def _plain_start(segment_number: int) -> int:
    return max(0, segment_number * PLAIN_SEGMENT_BYTES - HEADER_BYTES)
