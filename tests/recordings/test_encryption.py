"""Content encryption: the same as Tink's, read at random, and nothing unchecked released."""

from __future__ import annotations

import io
from typing import Any

import pytest
import tink
from hypothesis import given, settings
from hypothesis import strategies as st
from tink import cleartext_keyset_handle, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

from recordings import encryption
from recordings.encryption import (
    FIRST_PLAIN_SEGMENT_BYTES,
    HEADER_BYTES,
    PLAIN_SEGMENT_BYTES,
    SEGMENT_BYTES,
    ContentAltered,
    RangeDecrypter,
    SegmentEncrypter,
    SegmentReader,
    decrypt_bytes,
    encrypt_bytes,
    encrypt_chunks,
    plain_size,
    segments_for,
    stored_size,
)

KEY = bytes(range(32))
DIALOG = b"dialog 0198f3a2"
BOUNDARY = FIRST_PLAIN_SEGMENT_BYTES
SIZES = [
    *(0, 1, 15, 16, 17, 40),
    *(BOUNDARY - 1, BOUNDARY, BOUNDARY + 1, 65_496, PLAIN_SEGMENT_BYTES, SEGMENT_BYTES),
    *(BOUNDARY + PLAIN_SEGMENT_BYTES + step for step in (-1, 0, 1)),
    *(BOUNDARY + 3 * PLAIN_SEGMENT_BYTES + step for step in (-1, 0, 1)),
    1_000_000,
]


class Unclosed(io.BytesIO):
    def close(self) -> None:
        pass


def sound(size: int) -> bytes:
    """`size` bytes that differ from place to place."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


def tink_primitive(key: bytes) -> Any:
    streaming_aead.register()
    stream_key = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(
        version=0,
        key_value=key,
        params=aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
            ciphertext_segment_size=SEGMENT_BYTES,
            derived_key_size=32,
            hkdf_hash_type=common_pb2.SHA256,
        ),
    )
    keyset = tink_pb2.Keyset(primary_key_id=1)
    keyset.key.add(
        key_data=tink_pb2.KeyData(
            type_url="type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
            value=stream_key.SerializeToString(),
            key_material_type=tink_pb2.KeyData.SYMMETRIC,
        ),
        status=tink_pb2.ENABLED,
        key_id=1,
        output_prefix_type=tink_pb2.RAW,
    )
    handle = cleartext_keyset_handle.read(tink.BinaryKeysetReader(keyset.SerializeToString()))
    return handle.primitive(streaming_aead.StreamingAead)


def read_range(stored: bytes, first: int, last: int, *, associated_data: bytes = DIALOG) -> bytes:
    """Read as the playback view does: header, then only the stored bytes of the span."""
    span = segments_for(first, last, plain_size(len(stored)))
    reader = SegmentReader(key=KEY, associated_data=associated_data, header=stored[:HEADER_BYTES])
    decrypter = RangeDecrypter(reader=reader, span=span)
    fetched = stored[span.stored_first : span.stored_last + 1]
    parts = [decrypter.update(fetched[at : at + 50_000]) for at in range(0, len(fetched), 50_000)]
    decrypter.finalize()
    return b"".join(parts)


class TestWireFormat:
    @pytest.mark.parametrize("size", SIZES)
    def test_tink_reads_what_we_write(self, size):
        stored = encrypt_bytes(sound(size), key=KEY, associated_data=DIALOG)

        with tink_primitive(KEY).new_decrypting_stream(io.BytesIO(stored), DIALOG) as stream:
            assert stream.read() == sound(size)

    @pytest.mark.parametrize("size", SIZES)
    def test_we_read_what_tink_writes(self, size):
        target = Unclosed()

        with tink_primitive(KEY).new_encrypting_stream(target, DIALOG) as stream:
            stream.write(sound(size))

        assert len(target.getvalue()) == stored_size(size)
        stored = target.getvalue()
        assert decrypt_bytes(stored, key=KEY, associated_data=DIALOG) == sound(size)

    @pytest.mark.parametrize("size", SIZES)
    def test_sizes_are_known_without_reading(self, size):
        stored = encrypt_bytes(sound(size), key=KEY, associated_data=DIALOG)

        assert len(stored) == stored_size(size)
        assert plain_size(len(stored)) == size

    def test_no_two_encryptions_are_alike(self):
        stored = {encrypt_bytes(b"", key=KEY, associated_data=DIALOG) for _ in range(100)}

        assert len({value[:HEADER_BYTES] for value in stored}) == 100

    @given(st.lists(st.integers(0, 150_000), max_size=8))
    @settings(max_examples=30, deadline=None)
    def test_chunks_may_have_any_size(self, sizes):
        chunks = [sound(size) for size in sizes]

        stored = b"".join(encrypt_chunks(chunks, key=KEY, associated_data=DIALOG))

        assert decrypt_bytes(stored, key=KEY, associated_data=DIALOG) == b"".join(chunks)

    def test_nothing_follows_the_last_segment(self):
        encrypter = SegmentEncrypter(key=KEY, associated_data=DIALOG)
        encrypter.finalize()

        with pytest.raises(ValueError, match="finalized"):
            encrypter.update(b"more")
        with pytest.raises(ValueError, match="finalized"):
            encrypter.finalize()


class TestReadAtRandom:
    content = sound(BOUNDARY + 2 * PLAIN_SEGMENT_BYTES + 1234)
    stored = encrypt_bytes(content, key=KEY, associated_data=DIALOG)

    @given(st.data())
    @settings(max_examples=300, deadline=None)
    def test_any_range_equals_the_content(self, data):
        first = data.draw(st.integers(0, len(self.content) - 1))
        last = data.draw(st.integers(first, len(self.content) - 1))

        assert read_range(self.stored, first, last) == self.content[first : last + 1]

    @pytest.mark.parametrize("start", [BOUNDARY, BOUNDARY + PLAIN_SEGMENT_BYTES])
    def test_ranges_about_a_boundary(self, start):
        for first in range(start - 2, start + 2):
            for last in range(first, start + 3):
                assert read_range(self.stored, first, last) == self.content[first : last + 1]

    def test_fetches_no_more_than_the_segments_needed(self):
        span = segments_for(BOUNDARY, BOUNDARY, len(self.content))

        assert (span.first_segment, span.last_segment, span.ends_content) == (1, 1, False)
        assert (span.stored_first, span.stored_last) == (SEGMENT_BYTES, 2 * SEGMENT_BYTES - 1)

    @pytest.mark.parametrize(("first", "last"), [(-1, 0), (0, -1), (5, 4), (0, 10), (10, 10)])
    def test_a_range_outside_the_content_is_refused(self, first, last):
        with pytest.raises(ValueError, match="range"):
            segments_for(first, last, 10)


class TestAltered:
    content = sound(BOUNDARY + 2 * PLAIN_SEGMENT_BYTES + 5000)
    stored = encrypt_bytes(content, key=KEY, associated_data=DIALOG)

    def refused(self, stored: bytes) -> None:
        with pytest.raises(ContentAltered):
            decrypt_bytes(stored, key=KEY, associated_data=DIALOG)

    @given(st.integers(0, len(stored) - 1), st.integers(0, 7))
    @settings(max_examples=200, deadline=None)
    def test_one_flipped_bit_anywhere(self, at, bit):
        altered = bytearray(self.stored)
        altered[at] ^= 1 << bit

        self.refused(bytes(altered))

    @pytest.mark.parametrize("at", range(HEADER_BYTES))
    def test_one_flipped_bit_in_the_header(self, at):
        altered = bytearray(self.stored)
        altered[at] ^= 1

        self.refused(bytes(altered))

    @pytest.mark.parametrize(
        "size", [0, 39, 40, 55, 56, 57, SEGMENT_BYTES, 2 * SEGMENT_BYTES, 3 * SEGMENT_BYTES]
    )
    def test_a_tail_cut_off(self, size):
        self.refused(self.stored[:size])

    def test_one_byte_less_or_more(self):
        self.refused(self.stored[:-1])
        self.refused(self.stored + b"\0")

    def test_swapped_segments(self):
        second = self.stored[SEGMENT_BYTES : 2 * SEGMENT_BYTES]
        third = self.stored[2 * SEGMENT_BYTES : 3 * SEGMENT_BYTES]

        self.refused(
            self.stored[:SEGMENT_BYTES] + third + second + self.stored[3 * SEGMENT_BYTES :]
        )

    def test_a_segment_of_another_object(self):
        other = encrypt_bytes(self.content, key=KEY, associated_data=DIALOG)

        self.refused(self.stored[:SEGMENT_BYTES] + other[SEGMENT_BYTES:])

    def test_another_dialog_or_another_key(self):
        with pytest.raises(ContentAltered):
            decrypt_bytes(self.stored, key=KEY, associated_data=DIALOG + b"!")
        with pytest.raises(ContentAltered):
            decrypt_bytes(self.stored, key=bytes(32), associated_data=DIALOG)

    def test_the_range_of_another_dialog(self):
        with pytest.raises(ContentAltered):
            read_range(self.stored, 100_000, 100_010, associated_data=b"another dialog")

    def test_releases_nothing_of_a_segment_before_its_tag_is_checked(self):
        altered = bytearray(self.stored)
        altered[SEGMENT_BYTES + 10] ^= 1
        reader = SegmentReader(key=KEY, associated_data=DIALOG, header=bytes(altered[:40]))
        span = segments_for(0, len(self.content) - 1, len(self.content))
        decrypter = RangeDecrypter(reader=reader, span=span)
        released = bytearray()

        with pytest.raises(ContentAltered):
            for at in range(HEADER_BYTES, len(altered), 1000):
                released += decrypter.update(altered[at : at + 1000])

        assert bytes(released) == self.content[:BOUNDARY]

    def test_a_middle_segment_is_not_taken_for_the_last(self):
        reader = SegmentReader(key=KEY, associated_data=DIALOG, header=self.stored[:40])

        with pytest.raises(ContentAltered):
            reader.decrypt(
                segment_number=1,
                is_last=True,
                ciphertext=self.stored[SEGMENT_BYTES : 2 * SEGMENT_BYTES],
            )

    def test_a_span_that_ends_early_is_noticed(self):
        reader = SegmentReader(key=KEY, associated_data=DIALOG, header=self.stored[:40])
        span = segments_for(0, len(self.content) - 1, len(self.content))
        decrypter = RangeDecrypter(reader=reader, span=span)
        decrypter.update(self.stored[HEADER_BYTES : SEGMENT_BYTES + 100])

        with pytest.raises(ContentAltered):
            decrypter.finalize()

    def test_the_error_says_something_fit_to_show(self):
        assert str(ContentAltered()) == "The stored content has been altered or cut."


def test_a_key_has_32_random_bytes():
    assert len({encryption.generate_key() for _ in range(50)}) == 50
    assert len(encryption.generate_key()) == 32
    with pytest.raises(ValueError, match="32 bytes"):
        encrypt_bytes(b"", key=b"short", associated_data=b"")
