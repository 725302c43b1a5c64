"""Runs one purge in the foreground: manage.py purge [--dry-run] [--json]."""

from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, no_translations
from tqdm import tqdm

from audit import clock
from audit.events import Actor
from recordings.models import Conversation
from recordings.objectstore import ObjectStore, StoreRefused
from retention.operations.purge import leases, selection
from retention.operations.purge.run import PurgeStopped, Tally, purge
from retention.operations.timetable import PURGE, note_end

EXAMPLE = """
Example:
  manage.py purge --dry-run
  manage.py purge --json
  manage.py purge --try-again 019ad3f0-5c7e-7c31-9d0e-3f6f6c1b2a11

Destroys what is due, beginning with what earlier runs left unfinished. Ended at any point, the
next run finishes. --dry-run says what would go and which holds win, and changes nothing.
Exit code 0: done. 1: something needs a person, is to be tried again, or stopped the run.
2: wrong use, or this process lacks the access it needs.
"""
SHOWN = 20


class Command(BaseCommand):
    """Runs one purge now."""

    help = "Destroy what is due, now and in the foreground."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name what the command takes."""
        parser.add_argument("--dry-run", action="store_true", help="change nothing")
        parser.add_argument("--json", action="store_true", help="one JSON object")
        parser.add_argument(
            "--try-again",
            nargs="+",
            type=UUID,
            default=[],
            metavar="CONVERSATION",
            help="first let these, which were set aside for a person, be tried again",
        )

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Purge, show progress, and say what became of it."""
        if options["dry_run"]:
            self._say_what_would_go(as_json=options["json"])
            return
        self._let_be_tried_again(options["try_again"])
        try:
            content, anchor = ObjectStore.for_purge(), ObjectStore.for_anchor()
        except StoreRefused as refused:
            raise CommandError(str(refused), returncode=2) from refused
        with tqdm(unit=" conversations", disable=None) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            try:
                tally = purge(content=content, anchor=anchor, clock=clock.now, progress=show)
            except PurgeStopped as stopped:
                raise CommandError(str(stopped)) from stopped
        note_end(task=PURGE, now=clock.now())
        self._say_what_was_done(tally, as_json=options["json"])
        if tally.is_braked or tally.postponed or tally.need_person:
            raise SystemExit(1)

    def _let_be_tried_again(self, conversation_ids: list[UUID]) -> None:
        released = leases.try_again(
            conversation_ids=conversation_ids, actor=Actor.system("operator"), now=clock.now()
        )
        unknown = [str(pk) for pk in conversation_ids if pk not in released]
        if unknown:
            raise CommandError(f"Not set aside for a person: {', '.join(unknown)}.", returncode=2)

    def _say_what_was_done(self, tally: Tally, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(asdict(tally), default=str))
            return
        if tally.is_braked:
            self.stdout.write(
                f"Stopped before it began: {tally.due} are due, far more than usual. "
                "Two people have to release it."
            )
        self.stdout.write(
            f"{tally.destroyed} destroyed, {tally.recalled} brought back, {tally.held} held, "
            f"{tally.requested} under request, {tally.observed} only observed, "
            f"{tally.postponed} to be tried again, {tally.need_person} need a person."
        )

    def _say_what_would_go(self, *, as_json: bool) -> None:
        now = clock.now()
        found = selection.counts(at=now)
        due = Conversation.objects.due(at=now).order_by("destroy_after", "pk")
        barred = selection.barred(at=now)
        is_braked = selection.is_much_more_than_usual(due=found.due, at=now)
        if as_json:
            self.stdout.write(
                json.dumps(
                    {
                        **asdict(found),
                        "would_brake": is_braked,
                        "would_destroy": [str(pk) for pk in due.values_list("pk", flat=True)],
                        "kept_by_holds": [
                            {
                                "conversation": str(each.conversation_id),
                                "matters": [str(matter) for matter in each.matters],
                            }
                            for each in barred
                        ],
                    }
                )
            )
            return
        self.stdout.write(
            f"Would destroy {found.due}; {found.held} are held, {found.requested} under request, "
            f"{found.observed} only observed."
        )
        if is_braked:
            self.stdout.write("That is far more than usual: the run would stop before it began.")
        for pk, ends_at in due.values_list("pk", "destroy_after")[:SHOWN]:
            self.stdout.write(f"  {pk}  ended {ends_at:%Y-%m-%d %H:%M} UTC")
        if found.due > SHOWN:
            self.stdout.write(f"  and {found.due - SHOWN} more")
        for each in barred[:SHOWN]:
            matters = ", ".join(str(matter) for matter in each.matters)
            self.stdout.write(f"  {each.conversation_id}  kept by the hold of matter {matters}")
