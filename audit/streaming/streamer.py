"""Streams the log to one destination, for as long as somebody lets it."""

from __future__ import annotations

import random
import threading

import structlog
from django.db import DatabaseError, InterfaceError, connection

from audit import clock
from audit.operations import streaming
from audit.streaming import following
from audit.streaming.destinations import Destination
from audit.streaming.following import Stretch
from audit.streaming.https import HttpsSender
from audit.streaming.senders import NotDelivered, Sender
from audit.streaming.syslog import SyslogSender

PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0

log = structlog.get_logger("tallenne.streamer")


class Streamer:
    """Sends what was sealed and has not arrived; the database knows what that is."""

    def __init__(self, destination: Destination) -> None:
        self._name = destination.name
        self._sender: Sender = (
            HttpsSender(destination) if destination.scheme == "https" else SyslogSender(destination)
        )
        self._is_alone = False
        # Where stretches ended that were sent in vain: sent again, they are the same.
        self._ends: dict[str, int] = {}

    def step(self) -> bool:
        """
        Send once what waits in each log; gives whether there was anything.

        Raises NotDelivered, `django.db.DatabaseError`.
        """
        if not self._is_alone:
            self._is_alone = streaming.be_alone(destination=self._name)
        if not self._is_alone:
            return False
        waiting = self._waiting()
        self._ends = {each.log: each.until for each in waiting}
        for each in waiting:
            if not each.events:
                self._arrived(each)
        if full := [each for each in waiting if each.events]:
            for each in self._sender.deliver(full):
                self._arrived(each)
        return bool(waiting)

    def run(self, stop: threading.Event) -> None:
        """Send whatever comes until somebody stops it; what fails is tried again, less and less."""
        failures, pause = 0, 0.0
        while not stop.wait(pause):
            try:
                failures, pause = self._try(failures)
            except (DatabaseError, InterfaceError) as error:
                # The lock has gone with the connection.
                connection.close()
                self._is_alone = False
                failures += 1
                pause = _backed_off(failures)
                log.warning("streamer_waits", destination=self._name, error=type(error).__name__)
        connection.close()

    def _try(self, failures: int) -> tuple[int, float]:
        try:
            found = self.step()
        except NotDelivered as refused:
            failures += 1
            pause = max(refused.retry_after_seconds, _backed_off(failures))
            log.warning("stream_fails", destination=self._name, error=refused.code, pause=pause)
            streaming.note_failure(destination=self._name, error=refused.code, now=clock.now())
            return failures, pause
        return 0, 0.0 if found else PAUSE_SECONDS

    def _waiting(self) -> list[Stretch]:
        positions = streaming.positions(destination=self._name)
        found = []
        for name, size in following.sizes().items():
            first = positions.get(name, 0)
            if first < size:
                end = max(self._ends.get(name, first), first) - first
                stretch = following.stretch(
                    log=name,
                    first=first,
                    events=end or self._sender.events,
                    largest_bytes=self._sender.largest_bytes,
                )
                found += [stretch] if stretch else []
        return found

    def _arrived(self, stretch: Stretch) -> None:
        streaming.move_cursor(destination=self._name, arrived=stretch, now=clock.now())
        self._ends.pop(stretch.log, None)


def _backed_off(failures: int) -> float:
    longest = min(PAUSE_SECONDS * 2 ** min(failures, 10), LONGEST_PAUSE_SECONDS)
    # Apart from each other, so that a receiver that comes back is not met by all at once.
    return random.uniform(longest / 2, longest)  # noqa: S311
