"""Free loopback ports, found once and remembered beside the data."""

from __future__ import annotations

import errno
import json
import random
import socket
from collections.abc import Iterable
from pathlib import Path

# SeaweedFS serves gRPC 10,000 above each of its ports. Both ends of the range stay below 32768,
# where the kernel starts to hand out ports to outgoing connections.
FIRST_PORT = 12_000
LAST_PORT = 22_000
GRPC_DISTANCE = 10_000

PREFERRED_WEB_PORT = 8000
# Where exporters of OpenTelemetry serve theirs.
PREFERRED_METRICS_PORT = 9464


class NoFreePort(Exception):
    """No port of the range was free on the loopback address."""


def is_free(port: int, *, address: str = "127.0.0.1") -> bool:
    """Say whether nothing listens on the port of a loopback address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            # Without IPv6 nobody listens there either.
            return error.errno == errno.EADDRNOTAVAIL
    return True


def is_free_with_grpc(port: int) -> bool:
    """Say whether the port and the one SeaweedFS derives from it for gRPC are both free."""
    return is_free(port) and is_free(port + GRPC_DISTANCE)


def choose(*, taken: Iterable[int]) -> int:
    """
    Choose a port at random that is free together with its gRPC port.

    Raises: NoFreePort when a few hundred tries found none.
    """
    refused = set(taken)
    for _ in range(500):
        port = random.randint(FIRST_PORT, LAST_PORT)  # noqa: S311 (not a secret)
        if port not in refused and is_free_with_grpc(port):
            return port
    raise NoFreePort(f"No free port between {FIRST_PORT} and {LAST_PORT} was found.")


def remembered(path: Path, *, names: Iterable[str]) -> dict[str, int]:
    """
    Give a port for each name: the one the file remembers, or a new one where that is taken.

    The file is written anew when anything changed.
    """
    known: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    ports: dict[str, int] = {}
    for name in names:
        port = known.get(name)
        if port is None or port in ports.values() or not is_free_with_grpc(port):
            port = choose(taken=[*ports.values(), *known.values()])
        ports[name] = port
    if ports != known:
        path.write_text(json.dumps(ports, indent=2) + "\n")
    return ports


def is_free_for_web(port: int) -> bool:
    """Say whether the port is free on all that a browser may take `localhost` for."""
    try:
        return is_free(port) and is_free(port, address="::1")
    except OSError:
        return is_free(port)


def for_web(path: Path, *, wanted: str | None) -> int:
    """
    Give the port of the web server: the wanted one, else 8000, else the one the file remembers.

    Where that is taken too, a new one is chosen and remembered.

    Raises: NoFreePort when the wanted port is taken.
    """
    if wanted:
        port = int(wanted)
        if not is_free_for_web(port):
            raise NoFreePort(f"Port {port} is taken by another program. Choose another with PORT=.")
        return port
    if is_free_for_web(PREFERRED_WEB_PORT):
        return PREFERRED_WEB_PORT
    path.parent.mkdir(parents=True, exist_ok=True)
    return remembered(path, names=["web"])["web"]


def for_metrics(path: Path) -> int:
    """Give the port that figures are served on: 9464, else the one the file remembers."""
    if is_free(PREFERRED_METRICS_PORT):
        return PREFERRED_METRICS_PORT
    path.parent.mkdir(parents=True, exist_ok=True)
    return remembered(path, names=["metrics"])["metrics"]
