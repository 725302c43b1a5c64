"""Destroys again what a backup has brought back: manage.py replay_destructions [--json]."""

from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, no_translations
from tqdm import tqdm

from audit import clock
from recordings.objectstore import ObjectStore, StoreError, StoreRefused
from retention.ledger import LedgerUnreadable
from retention.operations.purge.replay import Replayed, replay
from retention.operations.purge.run import PurgeStopped

EXAMPLE = """
Example:
  manage.py replay_destructions
  manage.py replay_destructions --believe 019ad3f0-5c7e-7c31-9d0e-3f6f6c1b2a11

After a backup of the database was restored nothing opens until this has run to its end. It reads
the ledger of destructions in the anchor bucket, with the purge's environment; ended at any point,
the next call goes on. What rows and store say is still to be kept, against the ledger, is closed
and named; --believe destroys it, unless it is held.
Exit code 0: done. 1: something is to be tried again, contradicts, or needs a person. 2: wrong use,
or this process lacks the access it needs.
"""
SHOWN = 20


class Command(BaseCommand):
    """Replays the ledger of destructions."""

    help = "Destroy again, in a restored database, what was destroyed since its backup."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name what the command takes."""
        parser.add_argument(
            "--believe",
            nargs="+",
            type=UUID,
            default=[],
            metavar="CONVERSATION",
            help="destroy these, which the ledger names and the database says are to be kept",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Replay, show progress, and say what became of it."""
        try:
            reader = ObjectStore.for_anchor_reading()
            content, anchor = ObjectStore.for_purge(), ObjectStore.for_anchor()
        except StoreRefused as refused:
            raise CommandError(str(refused), returncode=2) from refused
        with tqdm(unit=" entries", disable=None) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            try:
                done = replay(
                    reader=reader,
                    content=content,
                    anchor=anchor,
                    clock=clock.now,
                    believed=options["believe"],
                    progress=show,
                )
            except (PurgeStopped, LedgerUnreadable, StoreError) as stopped:
                raise CommandError(f"{stopped} Run it again: it goes on.") from stopped
        if options["json"]:
            self.stdout.write(json.dumps(asdict(done), default=str))
        else:
            self._say(done)
        if done.contradicted or done.to_be_tried_again or done.need_person:
            raise SystemExit(1)

    def _say(self, done: Replayed) -> None:
        self.stdout.write(
            f"{done.entries} entries of the ledger that this database did not know name "
            f"{done.named} conversations: {done.destroyed_again} destroyed again, "
            f"{done.destroyed_before} destroyed before, {done.never_known} never known here, "
            f"{len(done.contradicted)} contradicted."
        )
        if done.to_be_tried_again:
            self.stdout.write(
                f"{done.to_be_tried_again} could not be deleted from the store yet: closed until "
                "they are. Run it again in a minute."
            )
        if done.need_person:
            self.stdout.write(f"{done.need_person} need a person: see the purge runs.")
        for pk in done.contradicted[:SHOWN]:
            self.stdout.write(f"  {pk}  closed: held, asked about, or not due by its row")
