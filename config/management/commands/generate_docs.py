"""Writes the reference pages that are made from the code, or compares: manage.py generate_docs."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, no_translations

EXAMPLE = """
Example:
  manage.py generate_docs --check

Asks no server. Exit code 0: written, or as they should be. 1: with --check, a page differs.
"""
FOLDER = Path("docs") / "reference"


class Command(BaseCommand):
    """Makes docs/reference from the code."""

    help = "Write the generated pages of docs/reference, or compare them."
    requires_system_checks = []

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name what the command takes."""
        parser.add_argument("--check", action="store_true", help="change nothing, say what differs")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Write the pages, or name those that differ."""
        # Imported here: the pages ask for every command, this one among them.
        from config.documentation import PAGES

        folder = Path(settings.BASE_DIR) / FOLDER
        differing = []
        for name, page in PAGES.items():
            text, path = page(), folder / name
            if path.exists() and path.read_text(encoding="utf-8") == text:
                continue
            differing.append(str(FOLDER / name))
            if not options["check"]:
                path.write_text(text, encoding="utf-8")
        if options["check"] and differing:
            raise CommandError(f"Run make docs: {', '.join(differing)} differ.")
        if not options["check"]:
            self.stdout.write(f"{len(differing)} of {len(PAGES)} pages written anew.")
