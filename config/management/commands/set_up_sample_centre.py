"""Makes the sample contact centre, but for its conversations: manage.py set_up_sample_centre."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from audit import clock
from config.samples.setup import Login, set_up

LOGINS_FILE = "demo-logins.json"
EXAMPLE = """
Example:
  manage.py set_up_sample_centre && manage.py load_sample_centre

Run as the owner of the tables. What is there already stays, passwords too; they stand in
demo-logins.json in the data folder, which only its owner may read.
"""


class Command(BaseCommand):
    """Sets the sample contact centre up, without its conversations."""

    help = "Make the companies, teams, people and retention rules of the sample contact centre."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name what the command takes."""
        parser.add_argument("--json", action="store_true", help="one JSON object at the end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make what is missing and write the logins down."""
        path: Path = settings.DATA_DIR / LOGINS_FILE
        logins = set_up(passwords=_passwords(path), now=clock.now())
        _write(path, logins)
        if options["json"]:
            self.stdout.write(json.dumps({"logins": len(logins), "file": str(path)}))
        else:
            self.stdout.write(f"{len(logins)} logins are in {path}.")


def _passwords(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    return {login["email"]: login["password"] for login in json.loads(path.read_text())}


def _write(path: Path, logins: list[Login]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump([asdict(login) for login in logins], stream, indent=1, ensure_ascii=False)
    beside.replace(path)
