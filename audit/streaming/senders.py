"""What every way of sending has in common: what it takes, and how it says that it failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from audit.streaming.following import Stretch

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0


class NotDelivered(Exception):
    """The receiver did not take it; a code says why: `unreachable`, `tls.refused`, `http.503`, …"""

    def __init__(self, code: str, *, retry_after_seconds: float = 0.0) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after_seconds = retry_after_seconds


class Sender(Protocol):
    """Brings stretches of the log to one destination."""

    events: int  # that one stretch has at most
    largest_bytes: int

    def deliver(self, stretches: Sequence[Stretch]) -> Iterator[Stretch]:
        """Send them in their order; gives each when it has arrived. Raises NotDelivered."""
