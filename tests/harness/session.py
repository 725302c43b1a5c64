"""The servers of one test run: started by whoever comes first, ended by whoever goes last."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from config.servers import Servers, start, unprivileged

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / ".data" / "test"
BROKER_DATABASES = 16  # Valkey's default
# To begin with a new cluster is faster than to drop so many databases.
CROWDED_DATABASES = 100

QUIET = {"autovacuum": "off", "max_wal_size": "2GB", "checkpoint_timeout": "1h"}

_until_the_end = ExitStack()
_running: list[Servers] = []


def begin() -> bool:
    """
    Start the servers, or join those that run, and give this process the owner's environment.

    The processes of one run, and two runs at once, share them: see `end`. Returns whether nobody
    else was there.
    """
    DATA.mkdir(parents=True, exist_ok=True)
    in_use = _until_the_end.enter_context((DATA / "in-use").open("w"))
    is_alone = _try_lock(in_use)
    if is_alone:
        _remove_crowded_cluster()
    fcntl.flock(in_use, fcntl.LOCK_SH)
    found = _until_the_end.enter_context(start(DATA, patient=False))
    _until_the_end.callback(_wait_for_others, in_use, found)
    os.environ.update(
        found.environment("owner")
        | {"DJANGO_SETTINGS_MODULE": "config.settings", "REDIS_URL": _broker(found)}
    )
    _running.append(found)
    if is_alone:
        _quieten(found)
    return is_alone


def _quieten(found: Servers) -> None:
    """
    Have nothing done to databases behind the tests' back.

    Statistics taken meanwhile would make each database another one than it was (see `pristine`),
    and a checkpoint each minute has every page written to the log of changes once more.
    """
    with psycopg.connect(found.superuser_url("postgres"), autocommit=True) as connection:
        for name, value in QUIET.items():
            connection.execute(
                sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
            )
        connection.execute("SELECT pg_reload_conf()")


def _remove_crowded_cluster() -> None:
    """Remove the cluster of an earlier run whose databases nobody needs any more."""
    cluster = unprivileged.home(DATA, step_down_to=unprivileged.account()) / "cluster"
    databases = cluster / "base"
    if databases.is_dir() and len(list(databases.iterdir())) > CROWDED_DATABASES:
        shutil.rmtree(cluster)


def _broker(found: Servers) -> str:
    """Give the address of a database of the broker that no other test process uses."""
    parts = urlsplit(found.environment("web")["REDIS_URL"])
    for number in range(1, BROKER_DATABASES):
        lock = (DATA / f"valkey-{number}.lock").open("w")
        if _try_lock(lock):
            _until_the_end.enter_context(lock)
            return urlunsplit(parts._replace(path=f"/{number}"))
        lock.close()
    raise RuntimeError("More test processes run than the broker has databases.")


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def servers() -> Servers:
    """Give the servers of this run."""
    return _running[0]


def end() -> None:
    """Leave the servers, or end them if they are ours and nobody else is left."""
    _running.clear()
    _until_the_end.close()


def _wait_for_others(in_use: IO[str], found: Servers) -> None:
    fcntl.flock(in_use, fcntl.LOCK_UN)
    if found.is_ours:
        fcntl.flock(in_use, fcntl.LOCK_EX)
