"""Tells at once whether the worker that holds a lease is still there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection

# The first of the two numbers of our advisory locks in PostgreSQL.
WORKER = 0x5057
RUN = 0x5052
_LARGEST = 0x7FFFFFFF


@contextmanager
def presence(kind: int, number: int) -> Iterator[None]:
    """
    Be seen to be there while inside; a worker that is killed is gone with its database session.

    A lease's end would be found out too, only later: this spares the wait, and where sessions are
    shared (a pooler between) the fencing token still keeps two workers apart.
    """
    key = [kind, number & _LARGEST]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock_shared(%s, %s)", key)
    try:
        yield
    finally:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock_shared(%s, %s)", key)
        except (InterfaceError, OperationalError):
            connection.close()


def is_there(kind: int, number: int) -> bool:
    """Whether some session is present under that number. Inside a transaction only."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [kind, number & _LARGEST])
        (is_free,) = cursor.fetchone()
    return not is_free


def number_of(run_id: UUID) -> int:
    """The number under which a run's worker is present."""
    return int.from_bytes(run_id.bytes[-4:])
