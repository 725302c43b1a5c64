"""Compares database and store, and looks for what is overdue: manage.py reconcile [--json]."""

from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, no_translations

from audit import clock
from recordings.objectstore import ObjectStore, StoreRefused, StoreUnavailable
from retention.attention import KINDS
from retention.operations.reconcile import Findings, reconcile

EXAMPLE = """
Example:
  manage.py reconcile
  manage.py reconcile --repair --json

Looks for rows without objects, objects without rows, legal holds that the store does not have as
they are placed, events outside their partitions, and all that needs a person: what no rule
covers, what is overdue or has failed, matters to be looked at again, tasks and reminders that are
late. --repair tells the store again of holds that differ.
Listing needs the identity of the purge, legal holds that of web or work; what this process has no
identity for is named as not asked.
Exit code 0: everything fits. 1: something does not. 2: wrong use, or the servers do not answer.
"""
SHOWN = 20
_NAMES = {
    "rows_without_objects": "rows without objects",
    "objects_without_rows": "objects without rows",
    "holds_that_differ": "legal holds that differ",
    "uncovered": "conversations that no rule covers",
    "overdue": "conversations overdue",
    "stuck": "destructions stuck",
}


class Command(BaseCommand):
    """Reconciles database and store."""

    help = "Find what does not fit between database and store, and what is overdue."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name what the command takes."""
        parser.add_argument("--repair", action="store_true", help="tell the store its holds again")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Compare, and say what does not fit."""
        content = _if_allowed(ObjectStore.for_content)
        if options["repair"] and content is None:
            raise CommandError("This process has no identity that may place holds.", returncode=2)
        try:
            findings = reconcile(
                listing=_if_allowed(ObjectStore.for_purge),
                content=content,
                now=clock.now(),
                repairs=options["repair"],
            )
        except (StoreUnavailable, StoreRefused) as error:
            raise CommandError(str(error), returncode=2) from error
        if options["json"]:
            self.stdout.write(
                json.dumps({**asdict(findings), "faults": findings.faults}, default=str)
            )
        else:
            self._say(findings)
        if findings.faults:
            raise SystemExit(1)

    def _say(self, findings: Findings) -> None:
        for name, words in _NAMES.items():
            found = getattr(findings, name)
            self.stdout.write(f"{len(found)} {words}")
            for each in found[:SHOWN]:
                self.stdout.write(f"  {each}")
            if len(found) > SHOWN:
                self.stdout.write(f"  and {len(found) - SHOWN} more")
        for kind in KINDS:
            if count := findings.attention.get(kind.code):
                self.stdout.write(f"{kind.name}: {count}. {kind.advice}")
        self.stdout.write(f"{findings.events_misplaced} events outside their partitions")
        if findings.repaired:
            self.stdout.write(f"{findings.repaired} legal holds told to the store again")
        for name in findings.not_asked:
            self.stdout.write(f"Not asked, for lack of an identity: {name.replace('_', ' ')}")


def _if_allowed(make: Callable[[], ObjectStore]) -> ObjectStore | None:
    try:
        return make()
    except StoreRefused:
        return None
