"""Takes in what happened to contracts and claims: manage.py business_event EVENT REFERENCE …."""

from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, no_translations
from django.db import DatabaseError

from accounts.models import Controller
from audit import clock
from audit.operations import AuditUnavailable
from recordings.formats.checks import parse_time
from recordings.formats.incoming import CannotCapture
from recordings.keyring import FileKeyring, KeyringUnavailable
from retention.event_files import UnreadableFile, read_events
from retention.models import BusinessEvent
from retention.operations.business_events import EventRefused, NewBusinessEvent, record_events

SHOWN = 20
EXAMPLE = """
Example:
  manage.py business_event claim.closed K-2026-17 --controller vakka --at 2026-05-03T12:00:00+03:00
  manage.py business_event --file closed.csv --controller vakka

A file is CSV with the columns event, reference and at, or JSON lines with the same fields
(docs/how-to/tell-when-claims-close.md). All of it is taken in or nothing; what is known already
changes nothing. The number itself is not kept, only a keyed hash of it.
Exit code 0: done. 1: the servers do not answer, run it again. 2: wrong use, or something in the
file is no event: nothing was taken in.
"""


class Command(BaseCommand):
    """Records business events."""

    help = "Say that a contract ended or a claim was closed, which retention may be counted from."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name what the command takes."""
        parser.add_argument(
            "event", nargs="?", metavar="EVENT", help=", ".join(BusinessEvent.Type.values)
        )
        parser.add_argument(
            "reference", nargs="?", metavar="REFERENCE", help="of claim or contract"
        )
        parser.add_argument("--at", metavar="TIME", help="when, with its zone; default: now")
        parser.add_argument("--file", type=Path, metavar="FILE", help="many of them")
        parser.add_argument("--controller", required=True, metavar="SLUG", help="the company")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Record them, and say how many conversations that concerned."""
        controller = Controller.objects.filter(slug=options["controller"]).first()
        if controller is None:
            raise CommandError(f"No company is called {options['controller']}.", returncode=2)
        events = self._from_file(options) if options["file"] else [_named(options)]
        try:
            recorded = record_events(
                controller=controller,
                events=events,
                keyring=FileKeyring.from_settings(),
                now=clock.now(),
            )
        except EventRefused as refused:
            raise CommandError(str(refused), returncode=2) from refused
        except (KeyringUnavailable, AuditUnavailable) as stopped:
            raise CommandError(f"{stopped} Nothing was taken in; run it again.") from stopped
        except DatabaseError as refused:
            raise CommandError(
                f"The database refuses or does not answer ({type(refused).__name__}). Nothing was "
                "taken in; run it again."
            ) from refused
        if options["json"]:
            answer = {
                "new": recorded.new,
                "known": recorded.known,
                "conversations": recorded.conversations,
            }
            self.stdout.write(json.dumps(answer))
        else:
            self.stdout.write(
                f"{recorded.new} new, {recorded.known} known already; "
                f"{recorded.conversations} kept conversations are about them."
            )

    def _from_file(self, options: dict[str, Any]) -> list[NewBusinessEvent]:
        if options["event"] or options["at"]:
            raise CommandError("Name one event, or a file of them.", returncode=2)
        try:
            events, bad = read_events(options["file"], now=clock.now())
        except UnreadableFile as unreadable:
            raise CommandError(f"{unreadable} Nothing was taken in.", returncode=2) from unreadable
        for one in bad[:SHOWN]:
            self.stderr.write(f"line {one.line}: {one.reason}")
        if bad:
            raise CommandError(
                f"{len(bad)} lines hold no event; nothing of the file was taken in.", returncode=2
            )
        return events


def _named(options: dict[str, Any]) -> NewBusinessEvent:
    if not options["event"] or not options["reference"]:
        raise CommandError("Name an event and a reference, or a file.", returncode=2)
    try:
        at = parse_time(options["at"], field="--at")[0] if options["at"] else clock.now()
    except CannotCapture as refused:
        raise CommandError(str(refused), returncode=2) from refused
    return NewBusinessEvent(options["event"], options["reference"], at)
