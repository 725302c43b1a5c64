"""What was, is to be, and could be cut from the logs; what is missing from a log for a reason."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime

from django.db import connection

from audit.models import Cut, LogHold

SHORTEST_MONTHS, LONGEST_MONTHS, LONGEST_WITH_REASON = 6, 36, 600


@dataclass(frozen=True, slots=True)
class Cuttable:
    """Events whose term is past: how many there are, and the last of their leaves."""

    until_month: date
    events: int
    unsealed: int
    last_leaf: int | None


def term_months(*, log: str) -> int:
    """How many months the log is kept: as decided last, or 24."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT audit_term(%s)", [log])
        return int(cursor.fetchone()[0])


def latest_until(*, months: int, now: datetime) -> date:
    """
    The first month (UTC, its first day) that may not be cut yet at this instant.

    A month may be cut once `months` calendar months have passed since it ended.
    """
    past = now.year * 12 + now.month - 1 - months
    return date(past // 12, past % 12 + 1, 1)


def cuttable(*, log: str, about_conversation: bool, until_month: date, now: datetime) -> Cuttable:
    """Which events before that month could be cut now, held or not."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(*) FILTER (WHERE leaf_index IS NULL), max(leaf_index) "
            "FROM audit_cuttable(%s, %s, %s, %s)",
            [log, about_conversation, until_month, now],
        )
        return Cuttable(until_month, *cursor.fetchone())


def leaves_text(*, cut: Cut) -> str:
    """The leaves of a cut as text such as `{[0,17),[21,22)}`: half-open, in order."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT leaves::text FROM audit_cut WHERE id = %s", [cut.id])
        return str(cursor.fetchone()[0])


def leaves_digest(*, cut: Cut) -> str:
    """SHA-256 of that text: what the sealed event `audit.cut` says as its fact `leaves`."""
    return hashlib.sha256(leaves_text(cut=cut).encode()).hexdigest()


def cut_ranges(*, log: str) -> list[tuple[int, int]]:
    """The leaves that have no event any more because they were cut: half-open, in order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT lower(one), upper(one) FROM ("
            "SELECT unnest(range_agg(leaves)) AS one FROM audit_cut "
            "WHERE log = %s AND done_at IS NOT NULL) AS ranges ORDER BY 1",
            [log],
        )
        return [(int(first), int(after)) for first, after in cursor.fetchall()]


def is_held(*, log: str) -> bool:
    """Whether a hold on the log is in force."""
    return LogHold.objects.filter(log=log, lifted_at=None).exists()
