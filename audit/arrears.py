"""Which logs are behind: events that wait to be sealed, heads that wait to be anchored."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import connection

_UNSEALED = """
SELECT l.name, (
    SELECT e.recorded_at FROM audit_unsealed u
    JOIN audit_event e ON e.id = u.event AND e.log = u.log
        AND e.about_conversation = u.about_conversation AND e.month = u.month
    WHERE u.log = l.name ORDER BY u.event LIMIT 1
) FROM audit_log l
"""
_UNANCHORED = """
SELECT l.name, (
    SELECT c.sealed_at FROM audit_checkpoint c
    WHERE c.log = l.name AND c.size > coalesce(
        (SELECT max(a.size) FROM audit_anchor a WHERE a.log = l.name), 0)
    ORDER BY c.size LIMIT 1
) FROM audit_log l
"""


def unsealed(*, logs: Collection[str] | None, until: datetime) -> dict[str, datetime]:
    """The logs (None: of all) with events from until then that are not sealed, and since when."""
    return _behind(_UNSEALED, logs, until)


def unanchored(*, logs: Collection[str] | None, until: datetime) -> dict[str, datetime]:
    """The logs (None: of all) with heads from until then that are not anchored, and since when."""
    return _behind(_UNANCHORED, logs, until)


def _behind(query: str, logs: Collection[str] | None, until: datetime) -> dict[str, datetime]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        found: dict[str, datetime | None] = dict(cursor.fetchall())
    return {
        log: since
        for log, since in sorted(found.items())
        if since is not None and since <= until and (logs is None or log in logs)
    }
