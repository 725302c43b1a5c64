"""Where the log is streamed to: a file in TOML that a setting names."""

from __future__ import annotations

import re
import ssl
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

PORTS = {"syslog+tls": 6514, "https": 443}
SETTLE_SECONDS = 2.0
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_FILES = ("ca", "certificate", "key", "authorization")


class DestinationsUnusable(Exception):
    """The file of the destinations is not there, or says something that cannot be done."""


class CredentialsUnusable(Exception):
    """A file that the destination names cannot be read, or is no certificate or key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """
    One receiver of the whole log.

    `certificate` and `key` (PEM) are shown to it, `authorization` is a file with the whole value of
    that header. The server's own certificate is always checked: by `ca` (PEM), or else by the
    authorities that the machine trusts.
    """

    name: str
    scheme: str
    host: str
    port: int
    path: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    authorization: Path | None = None
    settle_seconds: float = SETTLE_SECONDS

    @property
    def address(self) -> str:
        """Where it is, without what a path may give away."""
        return f"{self.scheme}://{self.host}:{self.port}"

    def tls(self) -> ssl.SSLContext:
        """
        Give what a connection to it is secured with: TLS 1.2 or newer, the name in the SAN.

        Read anew each time, so that files may be replaced. Raises CredentialsUnusable.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ValueError) as error:
            raise CredentialsUnusable from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.hostname_checks_common_name = False
        return context


def from_settings() -> list[Destination]:
    """Give the destinations that the setting's file names. Raises DestinationsUnusable."""
    if settings.AUDIT_STREAM_FILE is None:
        raise DestinationsUnusable("AUDIT_STREAM_FILE names no file for this process.")
    return read(settings.AUDIT_STREAM_FILE)


def read(path: Path) -> list[Destination]:
    """Read destinations from a file. Raises DestinationsUnusable."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DestinationsUnusable(f"{path} cannot be read as TOML: {error}") from error
    return [_destination(name, table) for name, table in tables.items()]


def _destination(name: str, table: Any) -> Destination:
    if not _NAME.fullmatch(name) or re.search(r"\d{5}", name):
        raise DestinationsUnusable(f"{name!r} names no destination: [a-z][a-z0-9_-]{{0,39}}.")
    if not isinstance(table, dict) or not isinstance(table.get("to"), str):
        raise DestinationsUnusable(f"Destination {name} does not say where `to`.")
    if unknown := table.keys() - {"to", "settle_seconds", *_FILES}:
        raise DestinationsUnusable(f"Destination {name} has no {', '.join(sorted(unknown))}.")
    files: dict[str, Any] = {key: Path(str(table[key])) for key in _FILES if key in table}
    settle = table.get("settle_seconds", SETTLE_SECONDS)
    if type(settle) not in (int, float) or not 0 <= settle <= 60:
        raise DestinationsUnusable(f"Destination {name}: settle_seconds is 0 to 60.")
    return Destination(name=name, settle_seconds=settle, **_place(name, table["to"]), **files)


def _place(name: str, to: str) -> dict[str, Any]:
    try:
        parts = urlsplit(to)
        port = parts.port
    except ValueError as error:
        raise DestinationsUnusable(f"Destination {name}: `to` is no address.") from error
    if parts.scheme not in PORTS or not parts.hostname or parts.username is not None:
        raise DestinationsUnusable(
            f"Destination {name}: `to` is syslog+tls://HOST:PORT or https://HOST/PATH, and holds "
            "no password."
        )
    if parts.scheme == "syslog+tls" and (parts.path or parts.query):
        raise DestinationsUnusable(f"Destination {name}: syslog has no path.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return {
        "scheme": parts.scheme,
        "host": parts.hostname,
        "port": port or PORTS[parts.scheme],
        "path": path,
    }
