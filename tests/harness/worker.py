"""Celery workers of a test's own: real processes on a broker database that no other test uses."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from celery import current_app

from config.servers.process import Process, ServerDied
from tests.harness.roles import Stage
from tests.harness.session import DATA, ROOT

START_SECONDS = 60
POLL_SECONDS = 0.05


@dataclass(slots=True)
class Worker:
    """One worker process with the rights of its role, listening to the queue of the same name."""

    stage: Stage
    role: Literal["work", "purge"]
    settings: dict[str, str] = field(default_factory=dict)
    process: Process = field(init=False)

    def __post_init__(self) -> None:
        self.process = Process(
            name=f"worker {self.role}",
            command=[
                *(sys.executable, "-m", "celery", "--app=config.celery", "worker"),
                *(f"--queues={self.role}", f"--hostname={self.role}-{os.getpid()}@%h"),
                *("--concurrency=1", "--loglevel=INFO", "--without-gossip", "--without-mingle"),
            ],
            log=DATA / "logs" / f"{self.stage.database}-{self.role}.log",
            environment={
                "PATH": os.environ["PATH"],
                "HOME": os.environ.get("HOME", "/"),
                "DJANGO_SETTINGS_MODULE": "config.settings",
                **self.stage.environment(self.role),
                **self.settings,
            },
            folder=ROOT,
        )

    def start(self) -> None:
        """Start it and wait until it is ready to take tasks."""
        self.process.start()
        self.process.wait_until(self._is_ready, timeout_seconds=START_SECONDS)

    def kill(self) -> None:
        """End it and its child at once, without a word."""
        os.killpg(self.process.pid, signal.SIGKILL)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                self.process.check_alive()
            except ServerDied:
                return
            time.sleep(POLL_SECONDS)

    def _is_ready(self) -> bool:
        return " ready." in self.process.log.read_text(errors="replace")


@contextmanager
def working(stage: Stage, role: Literal["work", "purge"], **settings: str) -> Iterator[Worker]:
    """Have a worker while the context lasts, unless it is killed before."""
    worker = Worker(stage, role, settings)
    worker.process.log.unlink(missing_ok=True)
    try:
        worker.start()
        yield worker
    finally:
        worker.process.stop()
        worker.process.log.unlink(missing_ok=True)


def ring(task: str, **arguments: Any) -> None:
    """Ring for a task by its name, as the timetable does; the routes of the settings hold."""
    current_app.send_task(task, kwargs=arguments)
