"""Ranges of a recording: what is answered, never too much, and the very bytes of the source."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recordings.encryption import (
    HEADER_BYTES,
    RangeDecrypter,
    SegmentReader,
    encrypt_chunks,
    generate_key,
    segments_for,
)
from recordings.ranges import ByteRange, RangeNotSatisfiable, parse_range

MOST = 1024 * 1024
SOURCE = random.Random(4).randbytes(3 * MOST + 12_345)
AAD = b"dialog"
KEY = generate_key()
STORED = b"".join(encrypt_chunks([SOURCE], key=KEY, associated_data=AAD))
PAST_ANY = 2**63


def answer(header: str | None, *, size: int = 1000, most: int = MOST) -> tuple[int, int, int]:
    """Give status, first and last byte."""
    try:
        found = parse_range(header, size=size, most=most)
    except RangeNotSatisfiable:
        return 416, 0, 0
    return (206 if found.is_partial else 200), found.first, found.last


class TestParseRange:
    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            (None, (200, 0, 999)),
            ("", (200, 0, 999)),
            ("bytes=0-", (206, 0, 999)),
            ("bytes=0-0", (206, 0, 0)),
            ("bytes=0-999", (206, 0, 999)),
            ("bytes=10-19", (206, 10, 19)),
            ("bytes=990-5000", (206, 990, 999)),
            ("bytes=999-", (206, 999, 999)),
            ("bytes=-1", (206, 999, 999)),
            ("bytes=-1000", (206, 0, 999)),
            ("bytes=-5000", (206, 0, 999)),
            (" bytes=1-2 ", (206, 1, 2)),
            # RFC 9110 14.1.1 and 14.2: what is no valid range of ours is as if it were not there.
            ("bytes=5-2", (200, 0, 999)),
            ("bytes=", (200, 0, 999)),
            ("bytes=-", (200, 0, 999)),
            ("bytes=a-b", (200, 0, 999)),
            ("bytes=--5", (200, 0, 999)),
            ("bytes=-5-", (200, 0, 999)),
            ("bytes=1.5-2", (200, 0, 999)),
            ("bytes=+1-2", (200, 0, 999)),
            ("bytes=0x0-0x5", (200, 0, 999)),
            ("bytes=٣-٥", (200, 0, 999)),
            ("items=0-5", (200, 0, 999)),
            ("bytes 0-5", (200, 0, 999)),
            ("bytes=" + "9" * 5000 + "-", (200, 0, 999)),
            # 15.5.17: beyond the end, nothing, or several.
            ("bytes=1000-", (416, 0, 0)),
            ("bytes=1000-1001", (416, 0, 0)),
            ("bytes=-0", (416, 0, 0)),
            ("bytes=0-1,5-6", (416, 0, 0)),
            ("bytes=0-,0-,0-", (416, 0, 0)),
            ("bytes=5-2,0-1", (416, 0, 0)),
            (f"bytes={PAST_ANY}-", (416, 0, 0)),
            (f"bytes={PAST_ANY}-{PAST_ANY}", (416, 0, 0)),
            (f"bytes=7-{PAST_ANY}", (206, 7, 999)),
            (f"bytes=-{PAST_ANY}", (206, 0, 999)),
            (f"bytes={2**64}-{2**64 + 1}", (416, 0, 0)),
        ],
    )
    def test_answers(self, header: str | None, expected: tuple[int, int, int]):
        assert answer(header) == expected

    @pytest.mark.parametrize("header", [None, "bytes=0-", "bytes=5-2", "bytes=-0", "bytes=0-0"])
    def test_of_nothing_is_not_satisfiable(self, header: str | None):
        assert answer(header, size=0)[0] == 416

    @pytest.mark.parametrize("header", [None, "bytes=0-", f"bytes=0-{PAST_ANY}", "bytes=5-2"])
    def test_of_a_long_recording_is_its_beginning(self, header: str | None):
        assert answer(header, size=5 * MOST) == (206, 0, MOST - 1)

    def test_of_a_suffix_longer_than_one_answer_begins_where_it_was_asked_for(self):
        assert answer(f"bytes=-{2 * MOST}", size=5 * MOST) == (206, 3 * MOST, 4 * MOST - 1)

    def test_of_exactly_one_answer_is_whole(self):
        assert answer(None, size=MOST) == (200, 0, MOST - 1)

    def test_names_what_it_gives(self):
        found = ByteRange(10, 19, 100, is_partial=True)

        assert (found.length, found.content_range) == (10, "bytes 10-19/100")

    @given(st.text(max_size=40), st.integers(0, 5000), st.integers(1, 2000))
    @settings(max_examples=300, deadline=None)
    def test_whatever_is_asked_lies_within_what_there_is(self, header: str, size: int, most: int):
        for asked in (header, f"bytes={header}"):
            status, first, last = answer(asked, size=size, most=most)

            assert status == 416 or 0 <= first <= last < size
            assert status == 416 or last - first < most


def plainly(header: str, size: int) -> list[int] | None:
    """State RFC 9110 for one range, byte by byte; None is 416, all of it what is to be ignored."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header)
    everything = [0, size - 1]
    if match is None or match.groups() == ("", ""):
        return everything
    first, last = match.groups()
    if not first:
        return [max(size - int(last), 0), size - 1] if int(last) else None
    if last and int(last) < int(first):
        return everything
    if int(first) >= size:
        return None
    return [int(first), min(int(last), size - 1) if last else size - 1]


NUMBERS = st.one_of(
    st.integers(0, len(SOURCE) + 10),
    st.integers(len(SOURCE) - 5, len(SOURCE) + 5),
    st.sampled_from([0, 1, 65_479, 65_480, 65_519, 65_520, MOST - 1, MOST, PAST_ANY]),
)
BOUND = NUMBERS.map(str) | st.just("")


class TestThousandRanges:
    """Fault 22: decrypted through the product's own arithmetic, compared with the source."""

    @given(BOUND, BOUND)
    @example("5", "2")
    @example(str(PAST_ANY), "")
    @example("", str(PAST_ANY))
    @settings(max_examples=1000, deadline=None)
    def test_are_the_bytes_of_the_source(self, first: str, last: str):
        header = f"bytes={first}-{last}"
        expected = plainly(header, len(SOURCE))

        try:
            found = parse_range(header, size=len(SOURCE), most=MOST)
        except RangeNotSatisfiable:
            assert expected is None
            return

        assert expected is not None
        assert found.first == expected[0]
        assert found.last == min(expected[1], expected[0] + MOST - 1)
        assert decrypted(found) == SOURCE[found.first : found.last + 1]


def decrypted(found: ByteRange) -> bytes:
    span = segments_for(found.first, found.last, found.size)
    reader = SegmentReader(key=KEY, associated_data=AAD, header=STORED[:HEADER_BYTES])
    decrypter = RangeDecrypter(reader=reader, span=span)
    stored = STORED[span.stored_first : span.stored_last + 1]
    pieces = [
        decrypter.update(stored[place : place + 50_000]) for place in range(0, len(stored), 50_000)
    ]
    decrypter.finalize()
    return b"".join(pieces)
