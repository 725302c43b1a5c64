"""How far each destination is behind the log: what monitoring asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from audit.models import Stream, StreamCursor
from audit.streaming.following import sizes

# Of an event that was cut nobody knows the time: the next one's.
_OLDEST = """
SELECT e.recorded_at FROM audit_leaf l
JOIN audit_event e ON e.id = l.event AND e.log = l.log
    AND e.about_conversation = l.about_conversation AND e.month = l.month
WHERE l.log = %s AND l.leaf_index >= %s ORDER BY l.leaf_index LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class LogLag:
    """What has not arrived of one log; `oldest_at` is when the oldest of it was committed."""

    log: str
    behind: int
    missing: int
    oldest_at: datetime | None
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Lag:
    """What has not arrived at one destination, and why, if it takes nothing."""

    destination: str
    address: str
    behind: int
    lag_seconds: float
    error: str | None
    failing_since: datetime | None
    logs: list[LogLag]

    def said(self) -> dict[str, object]:
        """Give it as JSON has it."""
        return {
            "destination": self.destination,
            "address": self.address,
            "behind": self.behind,
            "lag_seconds": self.lag_seconds,
            "error": self.error,
            "failing_since": _instant(self.failing_since),
            "logs": [
                {
                    "log": each.log,
                    "behind": each.behind,
                    "missing": each.missing,
                    "delivered_at": _instant(each.delivered_at),
                }
                for each in self.logs
            ],
        }


def lags(*, now: datetime) -> list[Lag]:
    """Give the lag of every destination that the log is streamed to."""
    of_logs = sizes()
    return [
        _lag(stream, of_logs, now)
        for stream in Stream.objects.filter(ended_at=None).order_by("destination")
    ]


def _lag(stream: Stream, of_logs: dict[str, int], now: datetime) -> Lag:
    cursors = {each.log: each for each in StreamCursor.objects.filter(stream=stream)}
    logs = [_of_log(log, size, cursors.get(log)) for log, size in sorted(of_logs.items())]
    waited = [(now - each.oldest_at).total_seconds() for each in logs if each.oldest_at]
    return Lag(
        destination=stream.destination,
        address=stream.address,
        behind=sum(each.behind for each in logs),
        lag_seconds=round(max(waited, default=0.0), 3),
        error=stream.error,
        failing_since=stream.failing_since,
        logs=logs,
    )


def _of_log(log: str, size: int, cursor: StreamCursor | None) -> LogLag:
    next_index = cursor.next_index if cursor else 0
    missing, delivered_at = (cursor.missing, cursor.delivered_at) if cursor else (0, None)
    behind = max(size - next_index, 0)
    return LogLag(log, behind, missing, _oldest(log, next_index) if behind else None, delivered_at)


def _oldest(log: str, first: int) -> datetime | None:
    with connection.cursor() as cursor:
        cursor.execute(_OLDEST, [log, first])
        row = cursor.fetchone()
    return row[0] if row else None


def _instant(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
