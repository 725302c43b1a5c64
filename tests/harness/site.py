"""The product as browsers meet it: granian in a process of its own, on a test's own database."""

from __future__ import annotations

import fcntl
import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from config.servers.process import Process
from tests.harness.roles import Stage
from tests.harness.session import DATA, ROOT

START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Site:
    """A web server that runs, and where."""

    url: str
    stage: Stage
    process: Process

    def log(self) -> str:
        """What it has written since it was started."""
        return self.process.log.read_text(errors="replace")


def collect_static_files(stage: Stage) -> None:
    """Bring the static files together under the names that pages give them, one after another."""
    with (DATA / "static.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(
            [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity=0"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **stage.environment("owner")},
            check=True,
        )


@contextmanager
def serving(stage: Stage) -> Iterator[Site]:
    """Serve the test's database while the context lasts."""
    port = _free_port()
    process = Process(
        name="web",
        command=[
            *(sys.executable, "-m", "granian", "--interface=asgi", "--host=127.0.0.1"),
            *(f"--port={port}", "--workers=1", "--no-ws", "config.asgi:application"),
        ],
        log=DATA / "logs" / f"{stage.database}-web.log",
        environment={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            **stage.environment("web"),
            "BASE_URL": f"http://localhost:{port}",
        },
        folder=ROOT,
    )
    process.log.unlink(missing_ok=True)
    process.start()
    try:
        process.wait_until(lambda: _answers(port), timeout_seconds=START_SECONDS)
        yield Site(f"http://localhost:{port}", stage, process)
    finally:
        process.stop()
        process.log.unlink(missing_ok=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/livez", headers={"Host": "localhost"})
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
