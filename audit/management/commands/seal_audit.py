"""`manage.py seal_audit`: the sealer, a process of its own."""

from __future__ import annotations

import argparse
import signal
import threading
import time
from types import FrameType
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, connection

from audit import anchoring, clock, queries, time_stamps, witnesses
from audit.anchoring import AnchorUnavailable
from audit.checks import UnsafeDatabase, refuse_unsafe_database
from audit.events import Actor, log_name
from audit.notes import fingerprint, public_bytes
from audit.operations import anchoring as anchoring_operations
from audit.operations.anchoring import LogForked, anchor, check_leads_on
from audit.operations.sealing import Sealer, TreeAltered, introduce_key, waiting_logs
from audit.operations.stamping import Stamping
from audit.operations.witnessing import Witnessing
from audit.sealing_keys import Keys, SealingKeys, SealingKeysUnavailable
from audit.sealing_token import TokenAddress, TokenKeys
from audit.trees import TreeIncomplete
from audit.waking import wait_for_call

NEEDS_A_PERSON = 1
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 30.0
# It tries each second; a log line a minute is enough.
REPEATED_AFTER_SECONDS = 60.0
EXAMPLE = """\
Example:
  manage.py seal_audit           runs until it is stopped, one step each second
  manage.py seal_audit --once    seals and anchors what waits now, and ends
  manage.py seal_audit --new-key makes a new key; the old one hands over to it in each log
  manage.py seal_audit --restart installation
                                 lets a log go on whose database was restored from a backup

Exit code 1 if a log could not be sealed or anchored. Two sealers at once do no harm."""

log = structlog.get_logger("tallenne.sealer")


class Command(BaseCommand):
    """Gives committed events their place in the tree, signs its head, and anchors it."""

    help = "Seal the audit log, for as long as the process runs."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --once, --new-key or --restart."""
        parser.epilog = EXAMPLE
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        way = parser.add_mutually_exclusive_group()
        way.add_argument("--once", action="store_true", help="seal what waits, and end")
        way.add_argument(
            "--new-key", action="store_true", help="make a key that signs from the next step on"
        )
        way.add_argument(
            "--restart", metavar="LOG", help="go on under a new origin after a restored backup"
        )

    def handle(self, *, once: bool, new_key: bool, restart: str | None, **_options: Any) -> None:
        """Seal, once or until SIGTERM or Ctrl-C; an exit code of 1 means it needs a person."""
        try:
            refuse_unsafe_database()
            if new_key:
                self._make_key(_configured_keys())
                return
            work = _Work(_configured_keys())
        except (
            AnchorUnavailable,
            ImproperlyConfigured,
            SealingKeysUnavailable,
            UnsafeDatabase,
        ) as error:
            raise CommandError(str(error), returncode=NEEDS_A_PERSON) from error
        if restart:
            self._restart(restart)
            return
        if once:
            work.step(anchors_now=True)
            work.finish()
            if work.problems:
                raise CommandError("\n".join(work.problems), returncode=NEEDS_A_PERSON)
            return
        stop = threading.Event()

        def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
            stop.set()

        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, ask_to_stop)
        pause = 0.0
        due = time.monotonic()
        while not stop.wait(pause):
            try:
                wait_for_call(seconds=max(0.0, due - time.monotonic()))
                # From step to step, however long one takes: what it takes is not waited for twice.
                due = time.monotonic() + settings.AUDIT_SEAL_INTERVAL_SECONDS
                work.step()
            except (DatabaseError, InterfaceError) as error:
                # The database is away: what was committed waits in the queue.
                connection.close()
                pause = min(max(pause * 2, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
                log.warning("sealer_waits", error=type(error).__name__, pause_seconds=pause)
            else:
                pause = 0.0
        work.close()

    def _make_key(self, keys: Keys) -> None:
        made = public_bytes(keys.create(now=clock.now()).public_key())
        self.stdout.write(f"The key {fingerprint(made)} signs from the sealer's next step on.")

    def _restart(self, name: str) -> None:
        try:
            origin = anchoring_operations.restart(
                log=name,
                store=anchoring.reader(),
                actor=Actor.system("command"),
                now=clock.now(),
            )
        except (AnchorUnavailable, ValueError) as error:
            raise CommandError(str(error), returncode=NEEDS_A_PERSON) from error
        self.stdout.write(f"Log {name} goes on as {origin.origin}, from {origin.from_size} events.")


def _configured_keys() -> Keys:
    """Give the keys of the token, if one is named, and those of the folder."""
    if not settings.AUDIT_SEAL_TOKEN:
        return SealingKeys.from_settings()
    before = SealingKeys.from_settings() if settings.AUDIT_SEAL_KEYS_DIR else None
    return TokenKeys(TokenAddress.parse(settings.AUDIT_SEAL_TOKEN), before=before)


class _Work:
    """What the sealer remembers from one step to the next."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._sealer = Sealer(keys)
        self._writer, self._reader = anchoring.writer(), anchoring.reader()
        self._witnessing = Witnessing(witnesses.configured(), self._writer)
        self._stamping = Stamping(time_stamps.configured(), self._writer)
        self._led_on: set[str] = set()
        self._anchored_at: dict[str, float] = {}
        self._reported: dict[str, tuple[str, float]] = {}
        self.problems: list[str] = []

    def step(self, *, anchors_now: bool = False) -> None:
        """Seal what waits in each log, and anchor the heads whose time has come."""
        self.problems = []
        try:
            introduce_key(keys=self._keys, now=clock.now())
        except SealingKeysUnavailable as error:
            self._report("", error)
            return
        for name in waiting_logs():
            self._try(name, self._seal)
        for name in map(log_name, queries.logs()):
            due = self._anchored_at.get(name, 0.0) + settings.AUDIT_ANCHOR_INTERVAL_SECONDS
            if anchors_now or time.monotonic() >= due:
                self._try(name, self._anchor)
        for outside in (self._witnessing, self._stamping):
            self._try("", lambda _name, outside=outside: outside.collect(now=clock.now()))

    def finish(self) -> None:
        """Wait for those outside who were asked."""
        for outside in (self._witnessing, self._stamping):
            self._try("", lambda _name, outside=outside: outside.finish(now=clock.now()))
        self.close()

    def close(self) -> None:
        """Ask nobody outside any more."""
        self._witnessing.close()
        self._stamping.close()

    def _try(self, name: str, deed: Any) -> None:
        try:
            deed(name)
        except (
            AnchorUnavailable,
            LogForked,
            SealingKeysUnavailable,
            TreeAltered,
            TreeIncomplete,
        ) as error:
            self._report(name, error)

    def _seal(self, name: str) -> None:
        # Asked of each log once: before the anchor has been heard, nothing more is signed.
        if name not in self._led_on:
            check_leads_on(log=name, store=self._reader)
            self._led_on.add(name)
        while (done := self._sealer.seal(log=name, now=clock.now())) is not None:
            if done.vanished:
                log.error("sealer_misses_events", log=name, events=done.vanished)
            if not done.is_more:
                return

    def _anchor(self, name: str) -> None:
        anchor(log=name, store=self._writer, now=clock.now())
        self._anchored_at[name] = time.monotonic()
        self._witnessing.begin(log=name)
        self._stamping.begin(log=name, now=clock.now())

    def _report(self, name: str, error: Exception) -> None:
        self.problems.append(str(error))
        said, at = self._reported.get(name, ("", 0.0))
        if said == str(error) and time.monotonic() < at + REPEATED_AFTER_SECONDS:
            return
        self._reported[name] = str(error), time.monotonic()
        log.error("sealer_cannot", log=name, error=type(error).__name__, reason=str(error))
