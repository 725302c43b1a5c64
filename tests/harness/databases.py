"""A migrated template database, and a clean clone of it for each test."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Queue
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from config.servers import Servers
from tests.harness.pristine import Pristine, transaction
from tests.harness.session import DATA, ROOT

TEMPLATE = "test_template_"
CLONE = "test_clone_"
# One is used, the other is cleaned meanwhile.
AT_ONCE = 2
PATIENCE_SECONDS = 120
# What decides how the template looks besides the migrations themselves.
DECIDING = ("requirements.txt", "config/grants.py", "config/settings.py", "*/grants.py")


def address(url: str, *, database: str) -> str:
    """Give the URL of another database of the same server, for the same login."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def template(servers: Servers) -> str:
    """Give the name of the migrated and granted database; made once per state of the sources."""
    name = TEMPLATE + _state_of_the_sources()
    with (DATA / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _owner(servers) as connection:
            if not _exists(connection, name):
                _make_template(servers, connection, name)
    return name


def _state_of_the_sources() -> str:
    found = hashlib.sha256()
    patterns = (*DECIDING, "*/migrations/*.py")
    for path in sorted({path for pattern in patterns for path in ROOT.glob(pattern)}):
        found.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return found.hexdigest()[:16]


def _make_template(servers: Servers, connection: psycopg.Connection, name: str) -> None:
    draft = f"{name}_draft"
    drop(connection, draft)
    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(draft)))
    environment = servers.environment("owner")
    environment["DATABASE_URL"] = address(environment["DATABASE_URL"], database=draft)
    for command in (["migrate", "--noinput", "--verbosity=0"], ["grant"]):
        done = subprocess.run(
            [sys.executable, "manage.py", *command, "--skip-checks"],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"manage.py {command[0]} failed:\n{done.stderr[-4000:]}")
    connection.execute(
        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
            sql.Identifier(draft), sql.Identifier(name)
        )
    )


def drop_left_behind(servers: Servers) -> None:
    """Drop what an earlier run, killed or of other sources, has left; only while alone."""
    keep = TEMPLATE + _state_of_the_sources()
    with psycopg.connect(servers.superuser_url(), autocommit=True) as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s OR datname LIKE %s",
            [f"{TEMPLATE}%", f"{CLONE}%"],
        ).fetchall()
        for (name,) in rows:
            if name != keep:
                drop(connection, name)


def _exists(connection: psycopg.Connection, name: str) -> bool:
    found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
    return found.fetchone() is not None


def drop(connection: psycopg.Connection, name: str) -> None:
    """Drop a database, whoever is connected to it."""
    connection.execute(
        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    )


@contextmanager
def _owner(servers: Servers) -> Iterator[psycopg.Connection]:
    url = address(servers.environment("owner")["DATABASE_URL"], database="postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@dataclass(slots=True)
class Clones:
    """
    Ready clones of the template: while a test runs, the one before it is made clean again.

    What only has other rows is brought back row by row, under a new name, so that no process left
    over from a test finds the database again. Where more differs there is a new clone; the old one
    is dropped when the next run starts, as each DROP DATABASE has the whole server write its disk.
    """

    servers: Servers
    source: str
    _ready: Queue[str | BaseException] = field(default_factory=Queue)
    _used: Queue[str | None] = field(default_factory=Queue)
    _clean_since: dict[str, str] = field(default_factory=dict)
    _pristine: Pristine | None = None
    _worker: threading.Thread | None = None

    def start(self) -> None:
        """Begin to make clones, and to clean used ones."""
        self._worker = threading.Thread(target=self._work, name="clones", daemon=True)
        self._worker.start()

    def take(self) -> str:
        """Give the name of a database as clean as a fresh clone."""
        name = self._ready.get(timeout=PATIENCE_SECONDS)
        if isinstance(name, BaseException):
            raise name
        return name

    def another(self) -> str:
        """Give the name of a clone that is not one of those that take turns: it may be kept."""
        with _owner(self.servers) as owner:
            return clone(owner, source=self.source)

    def give_back(self, name: str) -> None:
        """Have a used database cleaned."""
        self._used.put(name)

    def stop(self) -> None:
        """End; what is left is dropped when the next run starts, which has time for it."""
        self._used.put(None)
        if self._worker:
            self._worker.join()

    def _work(self) -> None:
        try:
            with _owner(self.servers) as owner:
                for _ in range(AT_ONCE):
                    self._ready.put(self._new(owner))
                while (name := self._used.get()) is not None:
                    self._ready.put(self._cleaned(owner, name) or self._new(owner))
        except psycopg.Error as failure:
            self._ready.put(failure)

    def _new(self, owner: psycopg.Connection) -> str:
        name = clone(owner, source=self.source)
        with self._superuser(name) as connection:
            if self._pristine is None:
                self._pristine = Pristine.read(connection)
            self._clean_since[name] = transaction(connection)
        return name

    def _cleaned(self, owner: psycopg.Connection, name: str) -> str | None:
        """Clean and rename it; None where that is not enough, or somebody does not let go."""
        assert self._pristine
        try:
            with self._superuser(name) as connection:
                since = self._pristine.restore(connection, since=self._clean_since.pop(name))
            if since is None:
                return None
            renamed = _clone_name()
            owner.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                    sql.Identifier(name), sql.Identifier(renamed)
                )
            )
        except psycopg.Error:
            return None
        self._clean_since[renamed] = since
        return renamed

    def _superuser(self, database: str) -> psycopg.Connection:
        return psycopg.connect(self.servers.superuser_url(database), autocommit=True)


def _clone_name() -> str:
    return f"{CLONE}{os.getpid()}_{uuid4().hex[:8]}"


def clone(connection: psycopg.Connection, *, source: str) -> str:
    """Make a database like the source, to which nobody may be connected; gives its name."""
    name = _clone_name()
    # WAL_LOG, the default: FILE_COPY takes two checkpoints and is slower for so small a database.
    connection.execute(
        sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log").format(
            sql.Identifier(name), sql.Identifier(source)
        )
    )
    return name
