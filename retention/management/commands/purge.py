"""Runs one purge in the foreground, or pauses, resumes and stops runs: manage.py purge."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from types import FrameType
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, no_translations
from tqdm import tqdm

from audit import clock
from audit.events import Actor
from recordings.models import Conversation
from recordings.objectstore import ObjectStore, StoreRefused
from retention.operations.purge import control, leases, selection
from retention.operations.purge.maintenance import maintain
from retention.operations.purge.run import PurgeStopped, Tally, purge
from retention.operations.releases import waiting_release
from retention.operations.timetable import PURGE, note_end

EXAMPLE = """
Example:
  manage.py purge --dry-run
  manage.py purge --json
  manage.py purge --workers 2
  manage.py purge --try-again 019ad3f0-5c7e-7c31-9d0e-3f6f6c1b2a11
  manage.py purge --pause        and later --resume
  manage.py purge --stop

Destroys what is due, beginning with what earlier runs left unfinished. Ended at any point, the
next run finishes. --dry-run says what would go and which holds win, and changes nothing.
SIGTERM and the first Ctrl-C end it after the batch it is at, the second at once. --pause lets
runs wait and keeps new ones from beginning, wherever they run; --stop ends those that are running
after their batches.
Exit code 0: done. 1: something needs a person, is to be tried again, or stopped the run.
2: wrong use, or this process lacks the access it needs.
"""
SHOWN = 20
MOST_WORKERS = 8
# What each worker counts for itself; the rest is the same for all.
COUNTED = ("withdrawn", "recalled", "destroyed", "postponed")


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Take SIGTERM and the first Ctrl-C as the wish to end after the batch; tell if it came."""
    asked: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def others(count: int, is_asked: Callable[[], bool]) -> Iterator[list[dict[str, Any]]]:
    """Have so many more workers in processes of their own; what they did is there at the end."""
    said: list[dict[str, Any]] = []
    command = [sys.executable, *sys.argv[:1], "purge", "--json"]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(count)]
    try:
        yield said
    finally:
        for worker in workers:
            if is_asked():
                worker.terminate()
            printed, _ = worker.communicate()
            if printed:
                said.append(json.loads(printed))


def _add(tally: Tally, said: dict[str, Any]) -> None:
    for name in COUNTED:
        setattr(tally, name, getattr(tally, name) + said[name])


def _show(bar: tqdm[Any], done: int, total: int, /, word: str = "") -> None:
    bar.total = total
    bar.set_postfix_str(word, refresh=False)
    bar.update(done - bar.n)
    bar.refresh()


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
        orders = parser.add_mutually_exclusive_group()
        orders.add_argument(
            "--pause", action="store_true", help="let all runs wait, and no new begin"
        )
        orders.add_argument("--resume", action="store_true", help="let them go on")
        orders.add_argument("--stop", action="store_true", help="end runs after their batches")
        parser.add_argument(
            "--workers",
            type=int,
            choices=range(1, MOST_WORKERS + 1),
            default=1,
            help="so many processes at once; the store is the limit, so more than 2 seldom help",
        )
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
        if options["pause"] or options["resume"] or options["stop"]:
            self._give_order(options)
            return
        self._let_be_tried_again(options["try_again"])
        try:
            content, anchor = ObjectStore.for_purge(), ObjectStore.for_anchor()
        except StoreRefused as refused:
            raise CommandError(str(refused), returncode=2) from refused
        with stopping() as is_asked, others(options["workers"] - 1, is_asked) as beside:
            try:
                with tqdm(unit=" conversations", disable=None) as bar:
                    tally = purge(
                        content=content,
                        anchor=anchor,
                        clock=clock.now,
                        progress=partial(_show, bar),
                        is_asked_to_stop=is_asked,
                    )
            except PurgeStopped as stopped:
                raise CommandError(str(stopped)) from stopped
        for said in beside:
            _add(tally, said)
        note_end(task=PURGE, now=clock.now())
        maintain(has_destroyed=bool(tally.destroyed), clock=clock.now)
        self._say_what_was_done(tally, as_json=options["json"])
        if tally.is_braked or tally.postponed or tally.need_person:
            raise SystemExit(1)

    def _give_order(self, options: dict[str, Any]) -> None:
        """Pause, resume or stop, and say what changed."""
        actor, now = Actor.system("operator"), clock.now()
        if options["stop"]:
            said: dict[str, object] = {"stopped": control.stop(actor=actor, now=now)}
        elif options["pause"]:
            said = {"paused": control.pause(actor=actor, now=now)}
        else:
            said = {"resumed": control.resume(actor=actor, now=now)}
        if options["json"]:
            self.stdout.write(json.dumps(said))
            return
        ((word, changed),) = said.items()
        sentences = {
            "stopped": f"{changed} runs end after the batch they are at.",
            "paused": "Purge runs are paused." if changed else "They were paused already.",
            "resumed": "Purge runs go on." if changed else "They were not paused.",
        }
        self.stdout.write(sentences[word])

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
        if tally.is_stopped:
            self.stdout.write("Paused, or asked to stop: the next run takes what is left.")
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
        is_large = selection.is_much_more_than_usual(due=found.due, at=now)
        is_braked = is_large and waiting_release() is None
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
