"""Counts for a page: while somebody waits, for five seconds at most."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

COUNTING_SECONDS = 5


class TooManyToCount(Exception):
    """There are more events than can be counted while somebody waits."""


@contextmanager
def limited() -> Iterator[None]:
    """Give a transaction whose statements end after five seconds. Raises TooManyToCount."""
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = '{COUNTING_SECONDS}s'")
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise TooManyToCount from error
        raise
