"""Breaks off a wait for the database that lasts too long, whatever the database does."""

import heapq
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper


@dataclass(order=True)
class _Deadline:
    at: float
    connection: BaseDatabaseWrapper = field(compare=False)
    is_over: bool = field(default=False, compare=False)


class _Watch:
    """One thread per process that cuts the connections whose deadline has passed."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: list[_Deadline] = []
        self._is_running = False

    def add(self, deadline: _Deadline) -> None:
        with self._condition:
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="audit-deadlines", daemon=True).start()
            heapq.heappush(self._waiting, deadline)
            if self._waiting[0] is deadline:
                self._condition.notify()

    def end(self, deadline: _Deadline) -> None:
        with self._condition:
            deadline.is_over = True

    def _run(self) -> None:
        with self._condition:
            while True:
                while self._waiting and self._waiting[0].is_over:
                    heapq.heappop(self._waiting)
                if not self._waiting:
                    self._condition.wait()
                    continue
                left = self._waiting[0].at - time.monotonic()
                if left > 0:
                    self._condition.wait(left)
                    continue
                _cut(heapq.heappop(self._waiting).connection)


_watch = _Watch()


def _start_anew() -> None:
    global _watch
    _watch = _Watch()


# Neither a thread nor the state of a lock lives on in a forked worker.
os.register_at_fork(after_in_child=_start_anew)


@contextmanager
def deadline(database: BaseDatabaseWrapper, *, seconds: float) -> Iterator[None]:
    """
    Cut the database connection if what is inside is not done in time.

    A server-side timeout does not help against a server that has stopped answering: whoever waits
    inside gets `django.db.OperationalError` as if the server had gone.
    """
    watch = _watch
    # Not Django's proxy, which would mean another connection to the thread that watches.
    limit = _Deadline(time.monotonic() + seconds, connections[database.alias])
    watch.add(limit)
    try:
        yield
    finally:
        watch.end(limit)


def _cut(database: BaseDatabaseWrapper) -> None:
    session = database.connection
    if session is None:
        return
    # The descriptor is shut down, not closed: it still belongs to the thread that waits on it.
    with (
        suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(session.fileno())) as duplicate,
    ):
        duplicate.shutdown(socket.SHUT_RDWR)
