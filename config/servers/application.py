"""The product's own processes: the web server, the workers and the timetable."""

from __future__ import annotations

import http.client
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from config.servers.files import make_private
from config.servers.process import Process, ServerDied, stop_all

ROOT = Path(__file__).resolve().parents[2]
WEB_START_SECONDS = 60
# What a worker is doing when asked to stop may be dropped after this: any step can be repeated.
STOP_SECONDS = 10
# Of our own environment only this is passed on: nobody is given another's credentials by chance.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")

WATCH_SECONDS = 0.5
BEAT_FILE = "celerybeat-schedule"
# The streamer runs where somebody has said where to.
STREAM_FILE = "AUDIT_STREAM_FILE"
STREAMER = ("streamer", ["manage.py", "stream_audit"], "stream")


@dataclass(slots=True)
class Application:
    """The product's processes, each with the environment of its role."""

    environments: Mapping[str, Mapping[str, str]]
    data: Path
    port: int
    metrics_port: int | None = None
    processes: list[Process] = field(default_factory=list)

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.data / "logs"

    def command(self, *command: str, role: str, name: str) -> Process:
        """Give a command of manage.py as a process, not yet started."""
        return self._process(name, ["manage.py", *command], role=role, log="-".join(command))

    def begin(self, *command: str, role: str, name: str) -> Process:
        """Start a command of manage.py, see `finish`."""
        process = self.command(*command, role=role, name=name)
        self.processes.append(process)
        process.start()
        return process

    def finish(self, process: Process, *, timeout_seconds: float = 600) -> str:
        """
        Wait for a command that was begun, giving what it printed.

        Raises: ServerDied with the tail of its log when it fails.
        """
        printed = process.finish(timeout_seconds=timeout_seconds)
        self.processes.remove(process)
        return printed

    def start(self) -> None:
        """Start all of them, without waiting."""
        for name, arguments, role in self._long_running():
            process = self._process(name, arguments, role=role, log=name.replace(" ", "-"))
            self.processes.append(process)
            process.start()

    def wait_for_web(self) -> None:
        """Wait until the web server answers. Raises: ServerDied when it does not."""
        web = next(process for process in self.processes if process.name == "web")
        web.wait_until(self._web_answers, timeout_seconds=WEB_START_SECONDS)

    def check_alive(self) -> None:
        """Raises: ServerDied when one of them has ended."""
        for process in self.processes:
            process.check_alive()

    def _long_running(self) -> Sequence[tuple[str, Sequence[str], str]]:
        return (
            ("worker work", _worker("work"), "work"),
            ("worker purge", _worker("purge"), "purge"),
            ("beat", self._beat(), "beat"),
            ("sealer", ["manage.py", "seal_audit"], "seal"),
            *([STREAMER] if STREAM_FILE in self.environments["stream"] else []),
            *([self._metrics()] if self.metrics_port else []),
            ("web", self._web(), "web"),
        )

    def _web(self) -> Sequence[str]:
        return [
            "-m",
            "granian",
            "--interface=asginl",
            "--host=127.0.0.1",
            f"--port={self.port}",
            "--workers=1",
            "--no-ws",
            "config.asgi:application",
        ]

    def _metrics(self) -> tuple[str, Sequence[str], str]:
        # On an address of their own, never on the web's. The purge's login reads no content.
        served = ["manage.py", "metrics", "--serve", f"127.0.0.1:{self.metrics_port}"]
        return ("metrics", served, "purge")

    def _beat(self) -> Sequence[str]:
        # A timetable in a file: beat needs no login to the database.
        return [
            "-m",
            "celery",
            "--app=config.celery",
            "beat",
            "--loglevel=INFO",
            "--pidfile=",
            "--scheduler=celery.beat:PersistentScheduler",
            f"--schedule={self.data / BEAT_FILE}",
        ]

    def _process(self, name: str, arguments: Sequence[str], *, role: str, log: str) -> Process:
        inherited = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        return Process(
            name=name,
            command=[sys.executable, *arguments],
            log=self.logs / f"{log}.log",
            environment={
                **inherited,
                "DJANGO_SETTINGS_MODULE": "config.settings",
                "PYTHONUNBUFFERED": "1",
                **self.environments[role],
            },
            folder=ROOT,
            patience_seconds=STOP_SECONDS,
        )

    def _web_answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/livez", headers={"Host": f"localhost:{self.port}"})
            return connection.getresponse().status < http.HTTPStatus.INTERNAL_SERVER_ERROR
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _worker(queue: str) -> Sequence[str]:
    return [
        "-m",
        "celery",
        "--app=config.celery",
        "worker",
        f"--queues={queue}",
        f"--hostname={queue}@%h",
        "--concurrency=1",
        "--prefetch-multiplier=1",
        "--loglevel=INFO",
        "--without-gossip",
        "--without-mingle",
    ]


@contextmanager
def running(application: Application) -> Iterator[Application]:
    """Give the application, not yet started; whatever was started ends with the context."""
    make_private(application.logs)
    try:
        yield application
    except ServerDied as died:
        died.tell()
        raise
    finally:
        stop_all(application.processes)


class Watched(Protocol):
    """Something whose processes may end by themselves."""

    def check_alive(self) -> None:
        """Raises: ServerDied when one has ended."""


def watch(*watched: Watched) -> None:
    """Look at the processes for ever. Raises: ServerDied when one has ended."""
    while True:
        for each in watched:
            each.check_alive()
        time.sleep(WATCH_SECONDS)
