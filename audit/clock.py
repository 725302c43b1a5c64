"""What time it is: the database's clock, which never goes back. No host's clock is ever asked."""

from datetime import datetime
from typing import cast

from django.db import connection


def now() -> datetime:
    """
    The present instant (aware, UTC, microseconds), in one round trip to the database.

    A high-water mark in the database follows the clock each second: set back, the clock stands
    still at the mark until it is past it again (within one second of the mark it may repeat).
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT audit_now()")
        return cast(tuple[datetime], cursor.fetchone())[0]
