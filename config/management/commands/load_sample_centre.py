"""Captures the conversations of the sample contact centre: manage.py load_sample_centre."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from tqdm import tqdm

from accounts.models import Source
from audit import clock
from audit.operations import AuditUnavailable
from config.samples.centre import SOURCES
from config.samples.conversations import BROKEN, CALLS, CHATS, write_manifests
from config.samples.matter import hold_for_dispute
from recordings.keyring import FileKeyring, KeyringUnavailable
from recordings.models import Conversation
from recordings.objectstore import ObjectStore, StoreRefused, StoreUnavailable
from recordings.operations.intake import Outcome, Tools, take_in

FOLDER = "sample-centre"
SEED = 2026
EXAMPLE = """
Example:
  manage.py set_up_sample_centre && manage.py load_sample_centre

Conversations are captured as from any source. One of them was cut off on purpose and waits in
quarantine. A second run adds nothing; one that was broken off is carried on.
"""


class Command(BaseCommand):
    """Loads the sample conversations through capture, not past it."""

    help = "Capture some two hundred invented conversations of the last year."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name what the command takes."""
        parser.add_argument("--json", action="store_true", help="one JSON object at the end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the manifests and capture them, unless that was done before."""
        slugs = [source.slug for source in SOURCES]
        sources = {source.slug: source for source in _sources().filter(slug__in=slugs)}
        if len(sources) < len(slugs):
            raise CommandError(
                "The sample contact centre has not been set up: run set_up_sample_centre first.",
                returncode=2,
            )
        tally = {"captured": 0, "unchanged": 0, "quarantined": 0}
        there = Conversation.objects.filter(source__slug__in=slugs).count()
        try:
            if there < CALLS + CHATS:
                for outcome in self._take(sources, _manifests(settings.DATA_DIR, there)):
                    kind = outcome.captured.outcome if outcome.captured else "quarantined"
                    tally[kind] += 1
            hold_for_dispute(keyring=FileKeyring.from_settings(), now=clock.now())
        except (StoreUnavailable, StoreRefused, KeyringUnavailable, AuditUnavailable) as error:
            raise CommandError(f"{error} Run the command again.", returncode=2) from error
        self._report(tally, there, as_json=options["json"])

    def _take(self, sources: dict[str, Source], manifests: list[tuple[str, Path]]) -> list[Outcome]:
        store, keyring = ObjectStore.for_content(), FileKeyring.from_settings()
        with (
            tqdm(total=CALLS + CHATS + BROKEN, unit=" conversations", disable=None) as bar,
            ThreadPoolExecutor(max_workers=os.cpu_count()) as threads,
        ):

            def take(slug: str, path: Path) -> list[Outcome]:
                tools = Tools(source=sources[slug], store=store, keyring=keyring, clock=clock.now)
                outcomes = []
                try:
                    for outcome in take_in(paths=[path], tools=tools):
                        bar.update()
                        outcomes.append(outcome)
                finally:
                    connection.close()  # this thread's own
                return outcomes

            under_way = [threads.submit(take, slug, path) for slug, path in manifests]
            return [outcome for future in under_way for outcome in future.result()]

    def _report(self, tally: dict[str, int], there: int, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(tally))
        elif not any(tally.values()):
            self.stdout.write(f"Nothing to do: {there} conversations were captured before.")
        else:
            self.stdout.write(
                f"{tally['captured']} captured, {tally['unchanged']} known already, "
                f"{tally['quarantined']} in quarantine, on purpose."
            )


def _sources() -> Any:
    return Source.objects.select_related("controller", "default_team")


def _manifests(data_dir: Path, there: int) -> list[tuple[str, Path]]:
    """Those of the run that was broken off, so that ids and times stay; otherwise new ones."""
    folder = data_dir / FOLDER
    written = [(source.slug, folder / f"{source.slug}.manifest.jsonl") for source in SOURCES]
    if there and all(path.exists() for _, path in written):
        return written
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return write_manifests(folder, clock.now(), SEED)
