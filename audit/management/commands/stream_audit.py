"""`manage.py stream_audit`: streams the log to a SIEM, a process of its own."""

from __future__ import annotations

import argparse
import json as json_module
import signal
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, no_translations

from audit import clock
from audit.operations import streaming
from audit.streaming.destinations import Destination, DestinationsUnusable, from_settings
from audit.streaming.lag import Lag, lags
from audit.streaming.senders import NotDelivered
from audit.streaming.streamer import Streamer

NEEDS_A_PERSON = 1
EXAMPLE = """\
Example:
  manage.py stream_audit                  runs until it is stopped
  manage.py stream_audit --once           sends what was sealed until now, and ends
  manage.py stream_audit --status --json  how far each destination is behind, for monitoring

Where to is said by the file that AUDIT_STREAM_FILE names. Exit code 1 if a destination takes
nothing. Two streamers at once do no harm: the second waits."""


class Command(BaseCommand):
    """Follows the sealed order of every log, and sends each event at least once."""

    help = "Stream the audit log to a SIEM, for as long as the process runs."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --once or --status, and --json."""
        parser.epilog = EXAMPLE
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        way = parser.add_mutually_exclusive_group()
        way.add_argument("--once", action="store_true", help="send what waits, and end")
        way.add_argument("--status", action="store_true", help="say how far behind it is")
        parser.add_argument("--json", action="store_true", help="say the status as JSON")

    @no_translations
    def handle(self, *, once: bool, status: bool, json: bool, **_options: Any) -> None:
        """Stream, once or until SIGTERM or Ctrl-C, or say how it stands."""
        if status:
            self._say(lags(now=clock.now()), json=json)
            return
        try:
            destinations = from_settings()
        except DestinationsUnusable as error:
            raise CommandError(str(error), returncode=NEEDS_A_PERSON) from error
        streaming.direct(destinations=destinations, now=clock.now())
        if once:
            _drain(destinations)
        else:
            _run(destinations)

    def _say(self, found: list[Lag], *, json: bool) -> None:
        if json:
            self.stdout.write(json_module.dumps({"destinations": [lag.said() for lag in found]}))
        else:
            for lag in found:
                state = lag.error or "takes what it is sent"
                self.stdout.write(
                    f"{lag.destination:<20} {lag.behind:>10} events behind, "
                    f"{lag.lag_seconds:.0f} s; {state}"
                )
        if failing := [lag.destination for lag in found if lag.error]:
            raise CommandError(f"Nothing is taken by: {', '.join(failing)}", returncode=1)


def _drain(destinations: list[Destination]) -> None:
    problems = []
    for destination in destinations:
        streamer = Streamer(destination)
        try:
            while streamer.step():
                pass
        except NotDelivered as error:
            streaming.note_failure(destination=destination.name, error=error.code, now=clock.now())
            problems.append(f"Destination {destination.name} takes nothing: {error.code}.")
    if problems:
        raise CommandError("\n".join(problems), returncode=NEEDS_A_PERSON)


def _run(destinations: list[Destination]) -> None:
    stop = threading.Event()

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, ask_to_stop)
    # A thread each: a destination that takes nothing holds up no other.
    with ThreadPoolExecutor(max(len(destinations), 1)) as threads:
        running = [threads.submit(Streamer(each).run, stop) for each in destinations]
        wait(running, return_when=FIRST_EXCEPTION)
        stop.set()
    for streamer in running:
        streamer.result()
