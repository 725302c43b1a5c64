"""`manage.py audit`: exports the log, tends its partitions, and reports on a person."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone
from tqdm import tqdm

from audit import archive, clock, operations, queries
from audit.events import Actor, is_uuid, log_name, log_of
from audit.export import Format
from audit.management import personal
from audit.tasks import MONTHS_AHEAD

NEEDS_A_PERSON = 1
WRONG_USE = 2

EXPORT_EXAMPLE = """\
Example:
  manage.py audit export --from 2026-10-01 --to 2026-11-01 --format jsonl --output /srv/audit

Writes one folder per log with one file per month: DIR/LOG/events-2026-10.jsonl. Times are from
(included) to (excluded), dates begin at midnight in the installation's time zone. The export is
itself logged, before anything is written."""

PARTITIONS_EXAMPLE = """\
Example:
  manage.py audit partitions --months 3

Exit code 1 if a month is still without its partition, or events lie in the default one."""


class Command(BaseCommand):
    """Exports the audit log and tends its partitions."""

    help = "Export the audit log, tend its partitions, report on a person, erase a detail."

    def add_arguments(self, parser: CommandParser) -> None:
        """One subcommand per deed."""
        deeds = parser.add_subparsers(dest="deed", required=True)
        export = deeds.add_parser(
            "export",
            help="write events to files",
            epilog=EXPORT_EXAMPLE,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        export.add_argument("--from", dest="from_at", type=_instant, required=True)
        export.add_argument("--to", dest="until_at", type=_instant, help="default: now")
        export.add_argument("--format", choices=[form.value for form in Format], default="jsonl")
        export.add_argument("--output", type=Path, required=True, metavar="DIR")
        export.add_argument(
            "--log",
            dest="logs",
            action="append",
            type=_log,
            metavar="LOG",
            help="a controller's id or 'installation'; may be repeated; default: every log",
        )
        export.add_argument("--json", action="store_true", help="say the result as JSON")
        partitions = deeds.add_parser(
            "partitions",
            help="create the partitions of the coming months",
            epilog=PARTITIONS_EXAMPLE,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        partitions.add_argument("--months", type=int, default=MONTHS_AHEAD)
        partitions.add_argument("--json", action="store_true", help="say the result as JSON")
        personal.add_deeds(deeds)

    def handle(self, *, deed: str, **options: Any) -> None:
        """Do what is asked; an exit code of 1 means that something needs a person."""
        try:
            if deed == "export":
                self._export(**options)
            elif deed == "report":
                personal.report(now=clock.now(), options=options, say=self.stdout.write)
            elif deed == "erase-detail":
                personal.erase(now=clock.now(), options=options, say=self.stdout.write)
            else:
                self._partitions(**options)
        except operations.AuditUnavailable as error:
            raise CommandError(
                "It could not be logged, so nothing was exported and nothing done.",
                returncode=NEEDS_A_PERSON,
            ) from error
        except DatabaseError as error:
            raise CommandError(
                f"The database refused: {str(error).splitlines()[0]}", returncode=NEEDS_A_PERSON
            ) from error
        except OSError as error:
            raise CommandError(
                f"Cannot write to {error.filename}: {error.strerror}.", returncode=WRONG_USE
            ) from error

    def _export(
        self,
        *,
        from_at: datetime,
        until_at: datetime | None,
        format: str,  # noqa: A002 (the option's name)
        output: Path,
        logs: list[str] | None,
        json: bool,
        **_others: object,
    ) -> None:
        now = clock.now()
        known = queries.logs()
        chosen = known if logs is None else [log_of(name) for name in dict.fromkeys(logs)]
        if unknown := [log_name(log) for log in chosen if log not in known]:
            raise CommandError(f"There is no log called {unknown[0]}.", returncode=WRONG_USE)
        if (until_at or now) <= from_at:
            raise CommandError("--to must lie after --from.", returncode=WRONG_USE)
        with tqdm(unit=" events", disable=json or not sys.stderr.isatty()) as progress:
            written = archive.export_to_folder(
                folder=output,
                wanted=queries.Filter(logs=chosen, from_at=from_at, until_at=until_at),
                form=Format(format),
                actor=Actor.system("command"),
                now=now,
                on_progress=progress.update,
            )
        if json:
            self._say_json({"files": [file.as_json() for file in written]})
            return
        for file in written:
            self.stdout.write(f"{file.events:>10} events  {file.path}")

    def _partitions(self, *, months: int, json: bool, **_others: object) -> None:
        created = operations.create_partitions(months_ahead=months)
        faults = queries.partition_faults(months_ahead=months)
        if json:
            self._say_json(
                {
                    "created": created,
                    "faults": [
                        {
                            "log": fault.log,
                            "about_conversations": fault.is_about_conversations,
                            "month": f"{fault.month:%Y-%m}",
                            "events": fault.events,
                        }
                        for fault in faults
                    ],
                }
            )
        else:
            self.stdout.write(f"{created} partitions created.")
            for fault in faults:
                self.stderr.write(
                    f"{fault.month:%Y-%m} of log {fault.log} has no partition of its own: "
                    f"{fault.events} events lie in the default one."
                )
        if faults:
            sys.exit(NEEDS_A_PERSON)

    def _say_json(self, result: dict[str, object]) -> None:
        self.stdout.write(json.dumps(result, ensure_ascii=False))


def _instant(text: str) -> datetime:
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no date or time such as 2026-11-01 or 2026-11-01T12:00:00+02:00"
        ) from None
    return given if given.tzinfo else given.replace(tzinfo=timezone.get_default_timezone())


def _log(text: str) -> str:
    if text != log_name(None) and not is_uuid(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no controller's id and not 'installation'")
    return text
