"""Destroys the key-encryption keys of past months that nothing needs: manage.py destroy_keks."""

from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, no_translations
from django.db import DatabaseError

from audit import clock
from recordings.keyring import FileKeyring, KeyringUnavailable
from recordings.operations.keks import destroy_past

EXAMPLE = """
Example:
  manage.py destroy_keks
  manage.py destroy_keks --dry-run --json

Run it daily, with the environment of `keys`. A month's key is destroyed when it is past, nothing is
wrapped with it, and no backup of the last BACKUP_KEPT_DAYS needs it; from then on what an older
backup or write-ahead log holds wrapped with it opens nothing. The open keys stay.
Exit code 0: done. 1: database or keyring cannot be reached.
"""


class Command(BaseCommand):
    """Destroys keys of past months."""

    help = "Destroy the key-encryption keys that nothing needs any more."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name what the command takes."""
        parser.add_argument("--dry-run", action="store_true", help="destroy nothing")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Destroy them, and say which, and which stay."""
        try:
            tally = destroy_past(
                keyring=FileKeyring.from_settings(),
                now=clock.now(),
                is_dry_run=options["dry_run"],
            )
        except KeyringUnavailable as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(
                "The database or its audit log cannot be written: no key was destroyed."
            ) from error
        if options["json"]:
            self.stdout.write(json.dumps(asdict(tally)))
            return
        for name in tally.destroyed:
            self.stdout.write(f"{name} {'would be' if options['dry_run'] else 'was'} destroyed")
        self.stdout.write(
            f"{len(tally.destroyed)} destroyed, {len(tally.in_use)} of past months in use, "
            f"{len(tally.wait_for_backups)} wait until no backup needs them."
        )
