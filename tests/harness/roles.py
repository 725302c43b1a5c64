"""Lets this process act as one of the product's: with that role's login, keys and nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit

import redis
from django.conf import settings
from django.db import connections
from django.test import override_settings

from config.servers import Servers
from tests.harness.databases import address

Role = Literal["owner", "web", "work", "purge", "seal", "cut", "keys", "stream"]

# The settings that a role's environment decides; what it does not name is None.
DECIDED = (
    "S3_ENDPOINT_URL",
    "S3_CONTENT_ACCESS_KEY",
    "S3_CONTENT_SECRET_KEY",
    "S3_PURGE_ACCESS_KEY",
    "S3_PURGE_SECRET_KEY",
    "S3_ANCHOR_ACCESS_KEY",
    "S3_ANCHOR_SECRET_KEY",
    "S3_ANCHOR_READ_ACCESS_KEY",
    "S3_ANCHOR_READ_SECRET_KEY",
    "S3_EXPORT_ACCESS_KEY",
    "S3_EXPORT_SECRET_KEY",
)


@dataclass(slots=True)
class Stage:
    """One test's database and keyring, and the role this process acts as: first the owner."""

    servers: Servers
    database: str
    keys: Path
    role: Role = "owner"

    def environment(self, role: Role) -> dict[str, str]:
        """Give what a process of that role would be told, with this test's database and keys."""
        values = self.servers.environment(role)
        values["DATABASE_URL"] = address(values["DATABASE_URL"], database=self.database)
        if "KEYRING_DIR" in values:
            values["KEYRING_DIR"] = str(self.keys)
        # All tests share one anchor bucket, whose locked objects stay.
        values["AUDIT_ORIGIN"] = f"{self.database}/tallenne"
        if "AUDIT_SEAL_KEYS_DIR" in values:
            values["AUDIT_SEAL_KEYS_DIR"] = str(self.keys.parent / "seal-keys")
        if "REDIS_URL" in values:
            values["REDIS_URL"] = settings.REDIS_URL
        # Nor may one test have the volumes vacuumed that others read.
        values.pop("SEAWEEDFS_MASTER_URL", None)
        return values

    @contextmanager
    def acting_as(self, role: Role) -> Iterator[None]:
        """Be that role: its login at the database, its keys at the store, its keyring or none."""
        before = self.role
        with override_settings(**self._settings(role)):
            self._log_in(role)
            try:
                yield
            finally:
                self._log_in(before)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Point Django at this test's database and an empty broker; away from it at the end."""
        from retention.operations import opening

        redis.Redis.from_url(settings.REDIS_URL).flushdb()
        opening.forget()
        with self.acting_as("owner"):
            yield
        _point_at(None)

    def _settings(self, role: Role) -> dict[str, Any]:
        values = self.environment(role)
        keys = values.get("KEYRING_DIR")
        return {
            **{name: values.get(name) for name in DECIDED},
            "ALLOWED_HOSTS": ["localhost", "testserver"],
            "SECRET_KEY": values["SECRET_KEY"],
            "AUDIT_ORIGIN": values["AUDIT_ORIGIN"],
            "KEYRING_DIR": Path(keys) if keys else None,
        }

    def _log_in(self, role: Role) -> None:
        self.role = role
        _point_at(self.environment(role)["DATABASE_URL"])


@dataclass(slots=True)
class ProxiedStage(Stage):
    """A stage whose processes are told another address for the store."""

    store_url: str = ""

    @classmethod
    def of(cls, stage: Stage, store_url: str) -> Self:
        """The same stage, with that address."""
        return cls(stage.servers, stage.database, stage.keys, stage.role, store_url)

    def environment(self, role: Role) -> dict[str, str]:
        """Give what a process of that role would be told."""
        # Named: with slots there is no super() without.
        values = Stage.environment(self, role)
        return values | ({"S3_ENDPOINT_URL": self.store_url} if "S3_ENDPOINT_URL" in values else {})


def _point_at(url: str | None) -> None:
    """Close this thread's connection; new ones, of whatever thread, go to that address."""
    connections.close_all()
    parts = urlsplit(url or "postgresql://127.0.0.1:9/outside-of-a-test")
    # Shared with every connection object there is.
    connections.settings["default"].update(
        NAME=parts.path.lstrip("/"),
        USER=unquote(parts.username or ""),
        PASSWORD=unquote(parts.password or ""),
        HOST=parts.hostname,
        PORT=parts.port,
    )
