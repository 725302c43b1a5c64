"""Ends a batch that does not end by itself, so that one conversation does not stop all others."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from django.conf import settings

# Each step renews the lease, and takes a fraction of one.
STUCK_AFTER_LEASES = 2


class BatchStuck(BaseException):
    """A batch took longer than any can; not an Exception, which libraries would swallow."""


@contextmanager
def watched() -> Iterator[None]:
    """
    Raise BatchStuck inside after STUCK_AFTER_LEASES leases.

    Outside of the main thread nobody watches.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise BatchStuck

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, STUCK_AFTER_LEASES * settings.PURGE_LEASE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
