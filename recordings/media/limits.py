"""What decoding one recording may take, whoever made it."""

from __future__ import annotations

# Address space of the fork that decodes one recording, decoders included.
MEMORY_BYTES = 1024 * 1024 * 1024
# A rendition of 24 hours of stereo speech is about 500 MB.
WRITTEN_BYTES = 1024 * 1024 * 1024
OPEN_FILES = 32
# An answer holds at most 8 channels of 4,000 points in base64.
ANSWER_BYTES = 256 * 1024

BASE_SECONDS = 30.0
# GSM, the slowest kind met (16,500 bytes hold 10 seconds), takes 0.3 s a 100,000 bytes here.
SECONDS_PER_MEGABYTE = 20.0
MAX_SECONDS = 1800.0


def allowed_seconds(size_bytes: int) -> float:
    """How long a file of that size may take, by the clock and of the processor."""
    return min(MAX_SECONDS, BASE_SECONDS + SECONDS_PER_MEGABYTE * size_bytes / 1_000_000)
