"""Checks what witnesses said of a log's heads, and counts it by witness."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from django.db import connection

from audit import verify
from audit.verification.rows import LEAVES_AT_ONCE
from audit.verification.verdicts import Attested, Verdict


class _Row(NamedTuple):
    size: int
    witness: str
    lines: str
    witnessed_at: datetime
    note: str


def count_witnessed(verdict: Verdict) -> None:
    """
    Check each cosignature against the head it stands beside, and count the heads of each witness.

    That a witness is one to be trusted is not known here: its key is said.
    """
    for row in _cosignatures(verdict.log):
        name = row.witness.partition("+")[0]
        try:
            seconds = verify.cosigned_at(row.note + row.lines, row.witness)
            is_right = datetime.fromtimestamp(seconds, UTC) == row.witnessed_at
        except (verify.Tampered, verify.Incomplete):
            is_right = False
        if not is_right:
            verdict.fault(f"the head of {row.size} events was not cosigned so by {name}.")
            continue
        before = verdict.attested.get(row.witness)
        heads = before.heads + 1 if before else 1
        verdict.attested[row.witness] = Attested(
            f"witnessed by {name}", heads, row.size, row.witnessed_at
        )


def _cosignatures(log: str) -> Iterator[_Row]:
    after = (-1, "")
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT c.size, c.witness, c.lines, "
                "least(greatest(c.witnessed_at, '0001-01-02'), '9999-12-30'), h.note "
                "FROM audit_cosignature c JOIN audit_checkpoint h USING (log, size) "
                "WHERE c.log = %s AND (c.size, c.witness) > (%s, %s) "
                "ORDER BY c.size, c.witness LIMIT %s",
                [log, *after, LEAVES_AT_ONCE],
            )
            rows = [_Row(*row) for row in cursor.fetchall()]
        if not rows:
            return
        yield from rows
        after = (rows[-1].size, rows[-1].witness)
