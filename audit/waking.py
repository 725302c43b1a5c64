"""Tells the sealer that somebody waits for it: it comes at once instead of within a second."""

from __future__ import annotations

from django.db import connection

CHANNEL = "audit_sealer"


def wake_sealer() -> None:
    """Have the sealer come at once, where one runs. Raises `django.db.DatabaseError`."""
    with connection.cursor() as cursor:
        cursor.execute(f"NOTIFY {CHANNEL}")


def wait_for_call(*, seconds: float) -> None:
    """Rest for so long, or until somebody waits. Raises `django.db.DatabaseError`."""
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {CHANNEL}")
    with connection.wrap_database_errors:
        for _call in connection.connection.notifies(timeout=seconds, stop_after=1):
            return
