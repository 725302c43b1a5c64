"""Prepares the demo in two processes, as each start of Django takes a second: prepare_demo."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

EXAMPLE = """
Example:
  manage.py prepare_demo database && manage.py prepare_demo conversations

The first runs migrate, grant, set_up_sample_centre and collectstatic, as the owner of the tables;
the second load_sample_centre and short_lived, as the worker.
"""


class Command(BaseCommand):
    """Migrates and sets up the sample contact centre, or captures its conversations."""

    help = "Bring the demo's database, or its conversations, up to date."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name what the command takes."""
        parser.add_argument("part", choices=["database", "conversations"])

    def handle(self, *args: Any, part: str, **options: Any) -> None:
        """Run one command after the other; the first that fails ends it."""
        if part == "database":
            call_command("migrate", interactive=False, stdout=self.stdout)
            call_command("grant", stdout=self.stdout)
            call_command("set_up_sample_centre", stdout=self.stdout)
            call_command("collectstatic", interactive=False, verbosity=0)
        else:
            call_command("load_sample_centre", stdout=self.stdout)
            # Its time ends two minutes from now, so it is captured last.
            call_command("short_lived", stdout=self.stdout)
