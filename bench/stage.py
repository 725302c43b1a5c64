"""Servers, an empty database and a keyring for one run, and the roles this process acts as."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit, urlunsplit
from uuid import uuid4

import psycopg

from config.servers import Servers, start
from config.servers.application import Application, running
from config.servers.ports import choose

Role = Literal["owner", "web", "work", "purge", "seal"]

ROOT = Path(__file__).resolve().parents[1]
DATABASE = "tallenne_bench"
# What a role's environment decides; what it does not name is None.
DECIDED = (
    "S3_ENDPOINT_URL",
    "S3_CONTENT_ACCESS_KEY",
    "S3_CONTENT_SECRET_KEY",
    "S3_ANCHOR_READ_ACCESS_KEY",
    "S3_ANCHOR_READ_SECRET_KEY",
    "AUDIT_ORIGIN",
    "S3_PURGE_ACCESS_KEY",
    "S3_PURGE_SECRET_KEY",
    "S3_ANCHOR_ACCESS_KEY",
    "S3_ANCHOR_SECRET_KEY",
    "SECRET_KEY",
)


@dataclass(slots=True)
class Stage:
    """The servers of this run and its database."""

    servers: Servers
    keys: Path
    # Heads of earlier runs stay anchored: each run is an installation of its own.
    origin: str = field(default_factory=lambda: f"bench-{uuid4().hex[:12]}.example/tallenne")

    def environment(self, role: Role) -> dict[str, str]:
        """Give what a process of that role is told."""
        values = self.servers.environment(role)
        values["DATABASE_URL"] = _of_bench(values["DATABASE_URL"])
        values["AUDIT_ORIGIN"] = self.origin
        if "KEYRING_DIR" in values:
            values["KEYRING_DIR"] = str(self.keys)
        return values

    @contextmanager
    def acting_as(self, role: Role) -> Iterator[None]:
        """Be that role: its login at the database, its keys at the store, its keyring or none."""
        from django.db import connections
        from django.test import override_settings

        values = self.environment(role)
        keys = values.get("KEYRING_DIR")
        changed = {
            **{name: values.get(name) for name in DECIDED},
            "ALLOWED_HOSTS": ["localhost", "testserver"],
            "KEYRING_DIR": Path(keys) if keys else None,
        }
        before = dict(connections.settings["default"])
        with override_settings(**changed):
            _log_in(values["DATABASE_URL"])
            try:
                yield
            finally:
                connections.close_all()
                # Shared with every connection object there is.
                connections.settings["default"].update(before)

    @contextmanager
    def web(self) -> Iterator[str]:
        """Run the web server in a process of its own, and give its address."""
        _manage("collectstatic", "--noinput", "--verbosity=0", told=self.environment("web"))
        port = choose(taken=[])
        product = _WebAlone({"web": self.environment("web")}, self.servers.data, port)
        with running(product):
            product.start()
            product.wait_for_web()
            yield f"http://localhost:{port}"


class _WebAlone(Application):
    """The product without workers and timetable: nobody else asks for the processor."""

    def _long_running(self) -> Sequence[tuple[str, Sequence[str], str]]:
        return (("web", self._web(), "web"),)


@contextmanager
def opened(data: Path) -> Iterator[Stage]:
    """Start the servers and Django with an empty, migrated database; end the servers afterwards."""
    with start(data, patient=False) as servers:
        keys = servers.data / "bench-keys"
        shutil.rmtree(keys, ignore_errors=True)
        keys.mkdir(mode=0o700)
        stage = Stage(servers, keys)
        _make_database(stage)
        os.environ.update(
            stage.environment("owner") | {"DJANGO_SETTINGS_MODULE": "config.settings"}
        )
        os.environ["LOG_LEVEL"] = "ERROR"

        import django
        from django.conf import settings

        # Pages are asked for without `collectstatic`.
        settings.STORAGES["staticfiles"] = {
            "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        }
        django.setup()
        with stage.acting_as("owner"):
            yield stage


def _make_database(stage: Stage) -> None:
    with psycopg.connect(stage.servers.superuser_url(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
    owner = stage.servers.environment("owner")["DATABASE_URL"]
    postgres = urlunsplit(urlsplit(owner)._replace(path="/postgres"))
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
    told = stage.environment("owner")
    _manage("migrate", "--noinput", "--verbosity=0", "--skip-checks", told=told)
    _manage("grant", "--skip-checks", told=told)


def _manage(*command: str, told: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env={**os.environ, **told},
        stdout=subprocess.DEVNULL,
        check=True,
    )


def _of_bench(url: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{DATABASE}"))


def _log_in(url: str) -> None:
    from django.db import connections

    connections.close_all()
    parts = urlsplit(url)
    connections.settings["default"].update(
        NAME=parts.path.lstrip("/"),
        USER=unquote(parts.username or ""),
        PASSWORD=unquote(parts.password or ""),
        HOST=parts.hostname,
        PORT=parts.port,
    )
