"""Gives the database roles what they may do, and nothing else: manage.py grant."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection, transaction

from config.grants import all_grants

EXAMPLE = """
Example:
  manage.py migrate && manage.py grant

Run as the owner after each migration. What a role had before and the table does not name is taken
away, so that a second run gives the same.
"""
KINDS = ("TABLES", "SEQUENCES", "FUNCTIONS")


class Command(BaseCommand):
    """Applies config/grants.py."""

    help = "Give the database roles exactly what config/grants.py names."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        """Take everything away and give what the table names, in one transaction."""
        count = 0
        with connection.cursor() as cursor:
            for role, rows in all_grants().items():
                for kind in KINDS:
                    cursor.execute(f"REVOKE ALL ON ALL {kind} IN SCHEMA public FROM {role}")
                for privilege, thing in rows:
                    cursor.execute(f"GRANT {privilege} ON {thing} TO {role}")
                    count += 1
        self.stdout.write(f"{count} grants given to {len(all_grants())} roles.")
