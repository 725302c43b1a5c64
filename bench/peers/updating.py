"""`python -m bench.peers.updating COUNT`: saves a row so many times, and prints its CPU seconds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import django

if TYPE_CHECKING:
    from bench.peers.models import Claim

TICKS = os.sysconf("SC_CLK_TCK")
ENTRIES = {"us": "audit.Event", "auditlog": "auditlog.LogEntry", "easyaudit": "easyaudit.CRUDEvent"}
OWNER = UUID("a11ce000-0000-4000-8000-000000000001")


def main() -> None:
    """Update once to warm up, then COUNT times; count that each left its entry."""
    django.setup()
    from audit import clock
    from bench.peers.models import Claim

    audited_by = os.environ["BENCH_AUDITED_BY"]
    entries = _entries(audited_by)
    now = clock.now()
    claim = Claim(
        name="Water damage",
        status="open",
        amount=0,
        note="A pipe broke under the sink.",
        opened_at=now,
        changed_at=now,
        owner=OWNER,
    )
    claim.save(force_insert=True)
    count = int(sys.argv[1])
    _update(claim, 1, audited_by)
    before, spent = entries(), cpu_seconds()
    for number in range(count):
        _update(claim, number + 2, audited_by)
    spent = cpu_seconds() - spent
    if entries() - before != (0 if audited_by == "nobody" else count):
        sys.exit("Not every update left its entry.")
    print(spent)


def _update(claim: Claim, number: int, audited_by: str) -> None:
    from django.db import transaction

    from audit import clock
    from audit.events import Actor, EventType, Target
    from audit.operations import append

    with transaction.atomic():
        now = clock.now()
        claim.amount = number
        claim.status = "open" if number % 2 else "paid"
        claim.changed_at = now
        claim.save()
        if audited_by == "us":
            append(
                event_type=EventType.RULE_CHANGED,
                actor=Actor.system("bench"),
                now=now,
                log=None,
                target=Target("rule", str(claim.owner)),
                facts={"changed": ["amount", "status", "changed_at"], "months": number % 100},
            )


def _entries(audited_by: str) -> Callable[[], int]:
    from django.apps import apps

    if audited_by not in ENTRIES:
        return lambda: 0
    count: Callable[[], int] = apps.get_model(ENTRIES[audited_by]).objects.count
    return count


def cpu_seconds() -> float:
    """CPU seconds of this process and of the server's process that serves it."""
    from django.db import connection

    connection.ensure_connection()
    server = Path(f"/proc/{connection.connection.info.backend_pid}/stat").read_text()
    user, system = server.rpartition(")")[2].split()[11:13]
    return time.process_time() + (int(user) + int(system)) / TICKS


if __name__ == "__main__":
    main()
