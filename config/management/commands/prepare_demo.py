"""Brings the demo's database up to date in one process: manage.py prepare_demo."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

EXAMPLE = """
Example:
  manage.py prepare_demo

Runs migrate, grant, set_up_sample_centre and collectstatic, as the owner of the tables.
"""


class Command(BaseCommand):
    """Migrates, grants, sets up the sample contact centre and collects static files."""

    help = "Bring the demo's database and static files up to date."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one after the other; the first that fails ends it."""
        call_command("migrate", interactive=False, stdout=self.stdout)
        call_command("grant", stdout=self.stdout)
        call_command("set_up_sample_centre", stdout=self.stdout)
        call_command("collectstatic", interactive=False, verbosity=0)
