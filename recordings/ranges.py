"""Reads the Range header of a media request (RFC 9110 section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

# No number of a hundred digits is a place in a recording, and Python reads no number of thousands.
_SINGLE = re.compile(r"bytes=(?:([0-9]{1,99})-([0-9]{0,99})|-([0-9]{1,99}))")


class RangeNotSatisfiable(Exception):
    """The range lies outside the representation, or several were asked for (416)."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """First and last byte, both included, of `size` bytes; `is_partial` means 206."""

    first: int
    last: int
    size: int
    is_partial: bool

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.last - self.first + 1

    @property
    def content_range(self) -> str:
        """The Content-Range header."""
        return f"bytes {self.first}-{self.last}/{self.size}"


def parse_range(header: str | None, *, size: int, most: int) -> ByteRange:
    """
    Choose what to answer, at most `most` bytes of it.

    Without a header, and with one that is none of ours (which RFC 9110 14.2 says to ignore), it
    is the beginning: the whole where that is no more than `most`. A list of ranges is refused
    rather than answered in parts. Raises RangeNotSatisfiable.

    Source: RFC 9110 sections 14.1.2, 14.2, 15.3.7 and 15.5.17.
    """
    if size <= 0:
        raise RangeNotSatisfiable
    if header is not None and header.strip().startswith("bytes=") and "," in header:
        raise RangeNotSatisfiable
    match = _SINGLE.fullmatch(header.strip().replace(" ", "")) if header else None
    if match is None:
        return ByteRange(0, min(size, most) - 1, size, is_partial=size > most)
    first_text, last_text, suffix_text = match.groups()
    if suffix_text is not None:
        if int(suffix_text) == 0:
            raise RangeNotSatisfiable
        first, last = max(size - int(suffix_text), 0), size - 1
    else:
        first = int(first_text)
        last = min(int(last_text), size - 1) if last_text else size - 1
        if last_text and int(last_text) < first:
            # An invalid range is ignored (RFC 9110 14.1.1), as if the header were not there.
            return ByteRange(0, min(size, most) - 1, size, is_partial=size > most)
    if first >= size:
        raise RangeNotSatisfiable
    return ByteRange(first, min(last, first + most - 1), size, is_partial=True)
