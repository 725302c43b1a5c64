"""
A purge in a process of its own that can be ended with SIGKILL at any of its steps.

One process loads Django and waits; for each line it reads it forks a child that purges. Forking it
instead of the tests, which have threads, is what makes this safe; not starting Python anew each
time is what makes it quick.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

ROOT = Path(__file__).resolve().parents[2]


class Killable:
    """The process that forks purges, spoken to from a test."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.retention.killed_purge"],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, *, database_url: str, **order: Any) -> int:
        """Fork a purge that obeys the order (see `_obey`); gives its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"database_url": database_url, **order}) + "\n")
        self._process.stdin.flush()
        return int(self._answer())

    def wait(self) -> int:
        """Wait for it to end; gives its exit code, or minus the signal that ended it."""
        return int(self._answer())

    def stop(self) -> None:
        """End the forking process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=10)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def _serve() -> None:
    import django

    django.setup()
    # Imported once here, not in each child.
    importlib.import_module("retention.operations.purge.run")

    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _purge(order)
        print(child, flush=True)  # noqa: T201
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


def _purge(order: dict[str, Any]) -> None:
    code = 1
    try:
        from django.conf import settings

        from tests.harness.roles import _point_at

        _point_at(order["database_url"])
        settings.AUDIT_ORIGIN = f"{urlsplit(order['database_url']).path[1:]}/tallenne"
        for name, value in order.get("settings", {}).items():
            setattr(settings, name, value)
        if "at" in order:
            _obey(**order["at"])
        from audit import clock
        from recordings.objectstore import ObjectStore
        from retention.operations.purge.run import purge

        purge(content=ObjectStore.for_purge(), anchor=ObjectStore.for_anchor(), clock=clock.now)
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def _obey(
    *, where: str, when: str, nth: int = 1, deed: str = "kill", about: str | None = None
) -> None:
    """
    Come to harm before or after the nth call of a function, `module:name` or `module:A.name`.

    With `about`, the id of a conversation, at each call whose `run_of` names it. The deed is
    "kill", "stop" (SIGSTOP: to go on later), "exhaust" (its memory) or "loop" (for ever).
    """
    module_name, _, path = where.partition(":")
    owner: Any = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    whole: Callable[..., Any] = getattr(owner, name)
    calls = []

    def deadly(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        is_the_one = len(calls) == nth if about is None else UUID(about) in kwargs["run_of"]
        if is_the_one and when == "before":
            _DEEDS[deed]()
        answer = whole(*args, **kwargs)
        if is_the_one and when == "after":
            _DEEDS[deed]()
        return answer

    setattr(owner, name, deadly)


def _exhaust() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    bytearray(2**31)


def _stop() -> None:
    # Without its watchdog, which would end it as it wakes up.
    signal.setitimer(signal.ITIMER_REAL, 0)
    os.kill(os.getpid(), signal.SIGSTOP)


def _loop() -> None:
    while True:
        time.sleep(0.01)


_DEEDS: dict[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": _stop,
    "exhaust": _exhaust,
    "loop": _loop,
}


if __name__ == "__main__":
    _serve()
