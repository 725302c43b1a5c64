"""`manage.py cut_audit`: deletes from the audit log what two persons agreed to cut."""

from __future__ import annotations

import argparse
import json as json_module
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, no_translations
from django.db import DatabaseError

from audit import clock
from audit.models import Cut
from audit.operations.growth import CutRefused, do_cut

NEEDS_A_PERSON = 1
EXAMPLE = """\
Example:
  manage.py cut_audit            lists the cuts that two persons agreed to
  manage.py cut_audit --do       does them, each in one transaction

A cut is proposed and agreed to on the page Retention of the log: at a command line two persons
cannot be told apart. Exit code 1 if a cut was refused."""


class Command(BaseCommand):
    """Does the cuts that were agreed to."""

    help = "Delete from the audit log what two persons agreed to cut."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --do and --json."""
        parser.epilog = EXAMPLE
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("--do", action="store_true", help="delete; without it they are listed")
        parser.add_argument("--json", action="store_true", help="say the result as JSON")

    @no_translations
    def handle(self, *, do: bool, json: bool, **_options: Any) -> None:
        """List or do; what is refused does not keep the others from being done."""
        refused: list[str] = []
        cuts: list[Cut] = []
        try:
            for cut in Cut.objects.agreed().order_by("agreed_at"):
                try:
                    cuts.append(do_cut(cut=cut.id, now=clock.now()) if do else cut)
                except CutRefused as error:
                    refused.append(f"{cut.log} until {cut.until_month:%Y-%m}: {error}")
        except DatabaseError as error:
            raise CommandError(
                f"The database refused: {str(error).splitlines()[0]}", returncode=NEEDS_A_PERSON
            ) from error
        if json:
            self.stdout.write(json_module.dumps({"cuts": [_said(cut) for cut in cuts]}))
        else:
            for cut in cuts:
                about = "about conversations" if cut.about_conversation else "about other things"
                self.stdout.write(
                    f"{cut.events:>10} events {about} before {cut.until_month:%Y-%m} of log "
                    f"{cut.log} {'were cut' if do else 'wait to be cut'}"
                )
        if refused:
            raise CommandError("\n".join(refused), returncode=NEEDS_A_PERSON)


def _said(cut: Cut) -> dict[str, object]:
    return {
        "cut": str(cut.id),
        "log": cut.log,
        "about_conversations": cut.about_conversation,
        "until": f"{cut.until_month:%Y-%m}",
        "events": cut.events,
        "done": cut.done_at is not None,
    }
