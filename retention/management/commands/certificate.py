"""Writes the certificate of a purge run: manage.py certificate RUN [--output FILE]."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, no_translations

from audit import clock
from audit.events import Actor
from audit.operations import AuditUnavailable
from retention import certificate as documents
from retention import run_queries
from retention.models import Certificate, PurgeRun
from retention.operations.certificates import log_download

EXAMPLE = """
Example:
  manage.py certificate 019ad3f0-5c7e-7c31-9d0e-3f6f6c1b2a11 --output certificate.json

A run has a certificate for each company, and a further one for what it finished later: --company
and --number say which. Giving it out is an event. `python audit/verify.py certificate.json --key
public-keys.txt` checks it.
Exit code 0: written. 1: it awaits its seal. 2: wrong use, or there is no such certificate.
"""


class Command(BaseCommand):
    """Writes a certificate."""

    help = "Write the certificate of what a purge run destroyed."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name what the command takes."""
        parser.add_argument("run", type=UUID, metavar="RUN", help="the purge run's id")
        parser.add_argument("--company", metavar="SLUG", help="if the run has several companies'")
        parser.add_argument("--number", type=int, metavar="N", help="if it has several of one")
        parser.add_argument("--output", type=Path, metavar="FILE", help="default: written out")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Find it, log that it is given out, and write it."""
        found = _chosen(options["run"], options["company"], options["number"])
        if found.seal is None:
            raise CommandError("It awaits its seal: it comes within minutes, if the sealer runs.")
        try:
            log_download(
                certificate=found, form="json", actor=Actor.system("command"), now=clock.now()
            )
        except AuditUnavailable as error:
            raise CommandError("It could not be logged, so nothing was given out.") from error
        pieces = documents.file(found, run_queries.lines_of(found))
        if options["output"] is None:
            for piece in pieces:
                self.stdout.write(piece.decode(), ending="")
            return
        try:
            with options["output"].open("wb") as file:
                file.writelines(pieces)
        except OSError as error:
            raise CommandError(
                f"Cannot write to {error.filename}: {error.strerror}.", returncode=2
            ) from error


def _chosen(run_id: UUID, company: str | None, number: int | None) -> Certificate:
    run = PurgeRun.objects.filter(pk=run_id).first()
    if run is None:
        raise CommandError("There is no purge run of that id.", returncode=2)
    fitting = run.certificates.select_related("controller").order_by("controller__slug", "number")
    if company is not None:
        fitting = fitting.filter(controller__slug=company)
    if number is not None:
        fitting = fitting.filter(number=number)
    found = list(fitting)
    if not found and run.destructions.uncertified().exists():
        raise CommandError("It awaits its seal: it is issued once the run's events are sealed.")
    if not found:
        raise CommandError("There is no such certificate.", returncode=2)
    if len(found) > 1:
        names = ", ".join(f"--company {one.controller.slug} --number {one.number}" for one in found)
        raise CommandError(f"Say which: {names}.", returncode=2)
    return found[0]
