"""Clocks go wrong, the worker's and the database's: nothing is destroyed before its time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
from django.db import connections
from django.test import override_settings

from audit.models import Event
from bench.centre import Centre
from bench.measuring import Scale
from bench.stage import DATABASE
from config.servers import postgresql
from config.servers.process import Process
from faults.company import NO_BRAKE, Company, is_all_gone
from faults.outcome import Outcome
from recordings.models import Conversation
from retention.operations.purge.run import PurgeStopped
from tests.harness.databases import _owner, clone
from tests.harness.roles import Stage
from tests.retention.killed_purge import Killable

# Of Debian's package; a machine without it says so.
LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")
WORKER_OFF = ("-2h", "+2h", "-400d", "+400d")
# Forward last: a clock that was ahead is never believed to go back, see `audit.clock`.
DATABASE_OFF = ("-400d", "-2h", "+2h", "+400d")
ITEMS = 10


def run(centre: Centre, scale: Scale) -> Iterator[Outcome]:
    """Put them wrong, one after another."""
    del scale  # so few calls that there is no smaller one
    library = _library()
    if library is None:
        yield Outcome("clocks", True, {"skipped": "libfaketime is not installed (make packages)"})
        return
    company = Company(centre)
    company.finish()
    for off in WORKER_OFF:
        yield _worker_off(company, library, off)
    for off in DATABASE_OFF:
        yield _database_off(centre, company, library, off)


def _library() -> Path | None:
    found = [path for each in LIBRARIES for path in Path("/").glob(each.lstrip("/"))]
    return found[0] if found else None


def _wrong(library: Path, off: str) -> dict[str, str]:
    return {"LD_PRELOAD": str(library), "FAKETIME": off, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def _worker_off(company: Company, library: Path, off: str) -> Outcome:
    kept, due = company.keep(ITEMS), company.capture(ITEMS)
    killable = Killable(company.stage.environment("purge") | _wrong(library, off))
    try:
        killable.start(database_url=company.url, settings=NO_BRAKE)
        code = killable.wait()
    finally:
        killable.stop()
    whole = _whole(kept)
    gone = Conversation.objects.filter(pk__in=[one.pk for one in due], state="destroyed").count()
    company.finish()
    account = company.account(due)
    Conversation.objects.filter(pk__in=[one.pk for one in kept]).update(open_requests=1)
    return Outcome(
        f"clock_of_the_worker_{off}",
        whole == ITEMS and is_all_gone(account, of=ITEMS),
        {
            "not_due": ITEMS,
            "destroyed_early": ITEMS - whole,
            "due": ITEMS,
            "destroyed_by_it": gone,
            "ended_with": code,
            **account,
        },
    )


def _database_off(centre: Centre, company: Company, library: Path, off: str) -> Outcome:
    """
    On a copy of the database: a clock that was far ahead is remembered there.

    Set back, ours stands still where it was: what was due is destroyed, nothing that was not.
    """
    connections.close_all()
    with _owner(centre.stage.servers) as owner:
        name = clone(owner, source=DATABASE)
    stage = Stage(centre.stage.servers, name, centre.stage.keys)
    with stage.acting_as("owner"):
        other = Company(centre, stage=stage)
        kept, due = other.keep(ITEMS), other.capture(ITEMS)
        incidents = Event.objects.filter(event_type="incident.raised").count()
        with _database_under(company, _wrong(library, off)):
            stopped = ""
            with override_settings(**NO_BRAKE):
                try:
                    other.purge()
                except PurgeStopped as refused:
                    stopped = str(refused)
        whole = _whole(kept)
        gone = ITEMS - _whole(due)
        told = Event.objects.filter(event_type="incident.raised").count() - incidents
    connections.close_all()
    with psycopg.connect(centre.stage.servers.superuser_url(), autocommit=True) as superuser:
        superuser.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    return Outcome(
        f"clock_of_the_database_{off}",
        whole == ITEMS
        and (off.startswith("-") or (gone == 0 and "clocks" in stopped and told == 1)),
        {
            "not_due": ITEMS,
            "destroyed_early": ITEMS - whole,
            "due": ITEMS,
            "destroyed": gone,
            "refused": str(bool(stopped)).lower(),
            "incidents": told,
        },
    )


def _whole(conversations: list[Conversation]) -> int:
    ids = [one.pk for one in conversations]
    return Conversation.objects.filter(pk__in=ids, state="kept", wrapped_key__isnull=False).count()


@contextmanager
def _database_under(company: Company, told: dict[str, str]) -> Iterator[None]:
    """Have the database server run with these variables besides."""
    servers = company.stage.servers
    normal = next(each for each in servers.processes if each.name == "PostgreSQL")
    wrong = replace(normal, environment={**normal.environment, **told}, _child=None, _family={})
    normal.stop()
    connections.close_all()
    try:
        _start(company, wrong)
        yield
    finally:
        connections.close_all()
        wrong.stop()
        normal._was_asked = False
        _start(company, normal)


def _start(company: Company, server: Process) -> None:
    server.start()
    password = company.stage.servers.secrets.get("postgresql-superuser")
    address = f"127.0.0.1:{company.stage.servers.ports['postgresql']}"
    server.wait_until(
        lambda: postgresql.answers(address, password=password),
        timeout_seconds=postgresql.START_SECONDS,
    )
