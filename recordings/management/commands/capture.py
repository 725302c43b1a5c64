"""Takes conversations in from files: manage.py capture PATH… --source NAME."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from tqdm import tqdm

from accounts.models import Source
from audit import clock
from audit.management.opened import check_open
from audit.operations import AuditUnavailable
from recordings.keyring import FileKeyring, KeyringUnavailable
from recordings.objectstore import ObjectStore, StoreRefused, StoreUnavailable
from recordings.operations.intake import Outcome, Tools, take_in
from recordings.operations.workdir import NoRoomToWork, sweep_work_directories

EXAMPLE = """
Example:
  manage.py capture /var/spool/calls --source pbx-helsinki

Takes manifests (docs/reference/manifest.md) and vCon files, and whole folders of them.
Exit code 0: all of it is captured. 1: something waits in quarantine. 2: wrong use, or the servers
do not answer; run it again, nothing is captured twice.
"""


class Command(BaseCommand):
    """Captures files and folders, once and for ever."""

    help = "Take conversations in from manifests and vCon files."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name what the command takes."""
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
        parser.add_argument("--source", required=True, help="the slug of the source")
        parser.add_argument("--json", action="store_true", help="one JSON object at the end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Capture, show progress, and say what waits in quarantine."""
        check_open()
        paths: list[Path] = options["paths"]
        for path in paths:
            if not path.exists():
                raise CommandError(f"There is nothing at {path}.", returncode=2)
        source = Source.objects.filter(slug=options["source"]).select_related("controller").first()
        if source is None:
            known = ", ".join(Source.objects.values_list("slug", flat=True)) or "none"
            raise CommandError(
                f"No source is called {options['source']}; known are: {known}.", returncode=2
            )
        tally = {"captured": 0, "unchanged": 0, "quarantined": 0, "refused": 0}
        reasons: list[dict[str, str | None]] = []
        sweep_work_directories()
        try:
            tools = Tools(
                source=source,
                store=ObjectStore.for_content(),
                keyring=FileKeyring.from_settings(),
                clock=clock.now,
            )
            bar = tqdm(take_in(paths=paths, tools=tools), unit=" conversations", disable=None)
            for outcome in bar:
                if outcome.captured is not None:
                    tally[outcome.captured.outcome] += 1
                    if outcome.left_out and not options["json"]:
                        left = ", ".join(outcome.left_out)
                        self._say(f"{outcome.name}: captured without its {left}")
                    continue
                tally["refused" if outcome.is_refused else "quarantined"] += 1
                label = self._label(outcome)
                item = str(outcome.item) if outcome.item else None
                reasons.append({"name": outcome.name, "item": item, "reason": outcome.reason})
                if not options["json"]:
                    self._say(f"{label}: {outcome.reason}")
        except (
            StoreUnavailable,
            StoreRefused,
            KeyringUnavailable,
            AuditUnavailable,
            NoRoomToWork,
        ) as stopped:
            raise CommandError(
                f"{stopped} What is captured stays; run the command again.", returncode=2
            ) from stopped
        except DatabaseError as refused:
            raise CommandError(
                f"The database refuses or does not answer ({type(refused).__name__}). "
                "What is captured stays; run the command again.",
                returncode=2,
            ) from refused
        if options["json"]:
            self.stdout.write(json.dumps({**tally, "reasons": reasons}, ensure_ascii=False))
        else:
            self.stdout.write(
                f"{tally['captured']} captured, {tally['unchanged']} known already, "
                f"{tally['quarantined']} in quarantine, {tally['refused']} refused."
            )
        if tally["quarantined"] or tally["refused"]:
            raise SystemExit(1)

    def _label(self, outcome: Outcome) -> str:
        """Call it by name to a person; names hold telephone numbers, which logs must not."""
        if self.stderr.isatty():
            return outcome.name
        known = outcome.captured.conversation_id if outcome.captured else outcome.item
        return str(known or "a file")

    def _say(self, line: str) -> None:
        """Write a line beside the progress bar, not into it."""
        with tqdm.external_write_mode(file=sys.stderr):
            self.stderr.write(line)
