"""Waveform peaks: how loud each channel is, some twenty times a second."""

from __future__ import annotations

from collections.abc import Sequence

POINTS_PER_SECOND = 20
MAX_POINTS = 4_000
MAX_LOUDNESS = 127
# Unsigned samples of 8 bits: silence is in the middle.
SILENCE = 128


class PeakMeter:
    """Takes unsigned 8-bit samples of one channel as they are decoded."""

    def __init__(self, *, sample_rate: int) -> None:
        self._samples_per_point = sample_rate // POINTS_PER_SECOND
        self._pending = bytearray()
        self._points = bytearray()

    def update(self, samples: bytes | memoryview) -> None:
        """Take samples, any number."""
        self._pending += samples
        size = self._samples_per_point
        full = len(self._pending) - len(self._pending) % size
        for start in range(0, full, size):
            self._add(self._pending[start : start + size])
        del self._pending[:full]

    def finish(self) -> bytes:
        """The loudness of all points, 0 to 127 each, the last one perhaps shorter."""
        if self._pending:
            self._add(self._pending)
            self._pending.clear()
        return bytes(self._points)

    def _add(self, samples: bytearray) -> None:
        loudness = max(max(samples) - SILENCE, SILENCE - min(samples))
        self._points.append(min(loudness, MAX_LOUDNESS))


def pack(channels: Sequence[bytes]) -> bytes:
    """
    Put the points of all channels into one value: a byte with their number, then each in turn.

    All channels get the same number of points, at most MAX_POINTS; neighbors are joined by the
    loudest.
    """
    count = min((len(points) for points in channels), default=0)
    joined = max(1, -(-count // MAX_POINTS))
    return bytes([len(channels)]) + b"".join(
        bytes(max(points[start : start + joined]) for start in range(0, count, joined))
        for points in channels
    )


def peaks_by_channel(packed: bytes) -> list[list[float]]:
    """Loudness by channel, 0 to 1, as the player draws it; the points spread evenly over time."""
    if not packed or not packed[0]:
        return []
    size = (len(packed) - 1) // packed[0]
    return (
        [
            [round(point / MAX_LOUDNESS, 3) for point in packed[start : start + size]]
            for start in range(1, 1 + size * packed[0], size)
        ]
        if size
        else [[] for _ in range(packed[0])]
    )
