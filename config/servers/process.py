"""One child process: started in a session of its own, watched, and ended with all it started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TAIL_LINES = 25
POLL_SECONDS = 0.05
PR_SET_PDEATHSIG = 1
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class ServerDied(Exception):
    """A process ended by itself, or did not become ready in time; holds the tail of its log."""

    _was_told = False

    def tell(self) -> None:
        """Print it, once: at once where it is caught first, as ending the others takes long."""
        if not self._was_told:
            self._was_told = True
            print(self, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Account:
    """The unprivileged account a server runs as when we are root."""

    name: str
    uid: int
    gid: int


@dataclass(slots=True)
class Process:
    """A child process and how to end it."""

    name: str
    command: Sequence[str | Path]
    log: Path
    environment: Mapping[str, str]
    folder: Path
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    patience_seconds: float = 15.0
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _log_offset: int = 0
    _family: dict[int, str] = field(default_factory=dict, repr=False)
    _was_asked: bool = False

    @property
    def pid(self) -> int:
        """The process id. Raises: RuntimeError before it was started."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started.")
        return self._child.pid

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches us alone and we end it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        stop_signal = self.stop_signal

        def die_with_parent() -> None:
            # Were we killed, nobody would be left to end it.
            if _libc is not None:
                _libc.prctl(PR_SET_PDEATHSIG, int(stop_signal))

        with self.log.open("ab") as output:
            self._log_offset = output.tell()
            self._child = subprocess.Popen(
                [str(part) for part in self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=dict(self.environment),
                start_new_session=True,
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
                preexec_fn=die_with_parent,
            )

    def check_alive(self) -> None:
        """Raises: ServerDied when the process has ended."""
        if self._child is not None and (code := self._child.poll()) is not None:
            raise ServerDied(f"{self.name} ended with code {code}. {self._tail()}")

    def wait_until(self, is_ready: Callable[[], bool], *, timeout_seconds: float) -> None:
        """
        Wait until it answers.

        Raises: ServerDied when it ends, or does not answer in time.
        """
        deadline = time.monotonic() + timeout_seconds
        while not is_ready():
            self.check_alive()
            if time.monotonic() > deadline:
                raise ServerDied(
                    f"{self.name} did not answer within {timeout_seconds:.0f} s. {self._tail()}"
                )
            time.sleep(POLL_SECONDS)

    def finish(self, *, timeout_seconds: float) -> str:
        """
        Wait until it ends well, giving what it printed.

        Raises: ServerDied when it fails or takes too long.
        """
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started.")
        try:
            code = self._child.wait(timeout=timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise ServerDied(
                f"{self.name} took longer than {timeout_seconds:.0f} s. {self._tail()}"
            ) from error
        if code != 0:
            raise ServerDied(f"{self.name} failed with code {code}. {self._tail()}")
        return self._printed()

    def request_stop(self) -> None:
        """Ask it once to end, without waiting."""
        # Asked a second time, Celery would drop the task it is finishing.
        if self._child is not None and self._child.poll() is None and not self._was_asked:
            self._was_asked = True
            self._family |= descendants(self._child.pid)
            self._child.send_signal(self.stop_signal)

    def stop(self) -> None:
        """End it and everything it started; by force once its patience is used up."""
        if self._child is None:
            return
        self.request_stop()
        try:
            self._child.wait(timeout=self.patience_seconds)
        except subprocess.TimeoutExpired:
            self._family |= descendants(self._child.pid)
            self._child.kill()
            self._child.wait()
        end_family(self._family, group=self._child.pid)

    def _printed(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_offset)
            return log.read().decode(errors="replace")

    def _tail(self) -> str:
        lines = self._printed().splitlines()
        if not lines:
            return f"Its log {self.log} is empty."
        return f"The end of its log {self.log}:\n" + "\n".join(
            f"  {line}" for line in lines[-TAIL_LINES:]
        )


def start_time(pid: int) -> str | None:
    """Give the start time of a process, which tells it from a later one with the same id."""
    found = _parent_and_start(pid)
    return found[1] if found else None


def _parent_and_start(pid: int) -> tuple[int, str] | None:
    try:
        # The command name is in brackets and may hold spaces: read what follows the last one.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), fields[19]


def descendants(pid: int) -> dict[int, str]:
    """Give the process ids below that one with their start times; empty where there is no /proc."""
    try:
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return {}
    known = {each: found for each in pids if (found := _parent_and_start(each))}
    family: dict[int, str] = {}
    parents = {pid}
    while parents:
        children = {each for each, (parent, _) in known.items() if parent in parents}
        parents = children - family.keys()
        family.update({each: known[each][1] for each in parents})
    return family


def end_family(family: Mapping[int, str], *, group: int | None = None) -> None:
    """End by force what is left of a family, and of a process group."""
    if group is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for pid, started in family.items():
        # The kernel may have given the id to a stranger since.
        if start_time(pid) == started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def stop_all(processes: Sequence[Process]) -> None:
    """End all, asked at once and awaited from the last started; no signal interrupts this."""
    with _undisturbed():
        for process in reversed(processes):
            process.request_stop()
        for process in reversed(processes):
            process.stop()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
