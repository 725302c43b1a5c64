"""`manage.py audit`: exports the log, proves what is in it, tends it, and reports on a person."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime, time
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone
from tqdm import tqdm

from audit import clock, operations, proofs, queries, verify
from audit.bundles.building import Built
from audit.bundles.copies import Format
from audit.bundles.sinks import FolderBegun
from audit.events import Actor, is_uuid, log_name, log_of
from audit.management import personal
from audit.operations.exporting import to_folder
from audit.operations.verifying import logs_to_check, verify_and_tell
from audit.proofs import NotSealed, UnknownEvent, UnknownHead
from audit.tasks import MONTHS_AHEAD
from audit.trees import TreeIncomplete
from audit.verification.verdicts import State

NEEDS_A_PERSON = 1
WRONG_USE = 2

EXPORT_EXAMPLE = """\
Example:
  manage.py audit export --from 2026-10-01 --to 2026-11-01 --format csv --output /srv/audit

Writes one bundle per log: a folder DIR/LOG-2026-10-01-to-2026-11-01 with the events, what proves
them, and the program that checks it. Times are from (included) to (excluded), dates begin at
midnight in the installation's time zone. The export is itself logged, before anything is written.
If it is stopped, the same command goes on where it was."""

VERIFY_EXAMPLE = """\
Example:
  manage.py audit verify
  manage.py audit verify /srv/audit/installation-2026-10-01-to-2026-11-01

With a path it does what `python verify.py` does, with the public keys of this installation unless
told others. Without one it checks the database: every row against its leaf, leaves against signed
heads, heads against the anchor; the first bad row is named.

Exit code 0: intact, 1: tampered, 2: incomplete."""

PROVE_EXAMPLE = """\
Example:
  manage.py audit prove 019ac1d2-5e0c-7b43-9f0a-0242ac120002 > event.tlog-proof"""

CONSISTENCY_EXAMPLE = """\
Example:
  manage.py audit consistency --log installation --earlier 120

Says as JSON both signed heads and the hashes between them (RFC 9162, 2.1.4)."""

PARTITIONS_EXAMPLE = """\
Example:
  manage.py audit partitions --months 3

Exit code 1 if a month is still without its partition, or events lie in the default one."""


class Command(BaseCommand):
    """Exports the audit log and tends its partitions."""

    help = "Export the audit log, prove what is in it, tend it, report on a person."

    def add_arguments(self, parser: CommandParser) -> None:
        """One subcommand per deed."""
        deeds = parser.add_subparsers(dest="deed", required=True)
        export = _deed(deeds, "export", "write events to files", EXPORT_EXAMPLE)
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
        prove = _deed(deeds, "prove", "write the proof of one event", PROVE_EXAMPLE)
        prove.add_argument("event", type=_uuid, help="the event's id")
        consistency = _deed(
            deeds, "consistency", "prove that a head continues an earlier one", CONSISTENCY_EXAMPLE
        )
        consistency.add_argument("--log", type=_log, required=True, metavar="LOG")
        consistency.add_argument("--earlier", type=int, required=True, metavar="SIZE")
        consistency.add_argument("--later", type=int, metavar="SIZE", help="default: the newest")
        keys = _deed(
            deeds, "keys", "say the public keys that sign", "Example:\n  manage.py audit keys"
        )
        keys.add_argument("--log", type=_log, metavar="LOG", help="default: of every log")
        check = _deed(deeds, "verify", "check bundles or proofs", VERIFY_EXAMPLE)
        check.add_argument(
            "paths", nargs="*", type=Path, metavar="PATH", help="default: the database itself"
        )
        check.add_argument("--log", type=_log, metavar="LOG", help="of the database: only this log")
        check.add_argument("--without-anchors", action="store_true", help="of the database")
        check.add_argument("--json", action="store_true", help="of the database: say it as JSON")
        check.add_argument("--key", help="a file of public keys, or the key itself")
        check.add_argument("--anchors", type=Path, help="a folder of anchored heads")
        check.add_argument(
            "--witness", action="append", default=[], help="the key of one who must have seen it"
        )
        partitions = _deed(
            deeds, "partitions", "create the partitions of the coming months", PARTITIONS_EXAMPLE
        )
        partitions.add_argument("--months", type=int, default=MONTHS_AHEAD)
        partitions.add_argument("--json", action="store_true", help="say the result as JSON")
        personal.add_deeds(deeds)

    def handle(self, *, deed: str, **options: Any) -> None:
        """Do what is asked; an exit code of 1 means that something needs a person."""
        try:
            if deed == "report":
                personal.report(now=clock.now(), options=options, say=self.stdout.write)
            elif deed == "erase-detail":
                personal.erase(now=clock.now(), options=options, say=self.stdout.write)
            else:
                getattr(self, f"_{deed}")(**options)
        except operations.AuditUnavailable as error:
            raise CommandError(
                "It could not be logged, so nothing was exported and nothing done.",
                returncode=NEEDS_A_PERSON,
            ) from error
        except (NotSealed, UnknownEvent, UnknownHead, TreeIncomplete, FolderBegun) as error:
            raise CommandError(str(error), returncode=NEEDS_A_PERSON) from error
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
        written = []
        for log in chosen:
            target = output / _folder_name(log, from_at, until_at)
            with tqdm(
                desc=log_name(log), unit=" events", disable=json or not sys.stderr.isatty()
            ) as progress:
                for step in to_folder(
                    target=target,
                    wanted=queries.Filter(logs=[log], from_at=from_at, until_at=until_at),
                    form=Format(format),
                    actor=Actor.system("command"),
                    now=now,
                ):
                    if isinstance(step, Built):
                        written.append((target, step.events))
                    else:
                        progress.update(step)
        if json:
            self._say_json(
                {"bundles": [{"path": str(target), "events": events} for target, events in written]}
            )
            return
        for target, events in written:
            self.stdout.write(f"{events:>10} events  {target}")

    def _prove(self, *, event: UUID, **_others: object) -> None:
        self.stdout.write(proofs.prove(event_id=event), ending="")

    def _consistency(self, *, log: str, earlier: int, later: int | None, **_others: object) -> None:
        self._say_json(proofs.consistency(log=log, earlier=earlier, later=later))

    def _keys(self, *, log: str | None, **_others: object) -> None:
        for name in [log] if log else map(log_name, queries.logs()):
            for key in proofs.public_keys(log=name):
                self.stdout.write(key)

    def _verify(
        self,
        *,
        paths: list[Path],
        key: str | None,
        anchors: Path | None,
        witness: list[str],
        **options: Any,
    ) -> None:
        if not paths:
            sys.exit(self._verify_database(**options))
        keys = key or "\n".join(
            key for log in queries.logs() for key in proofs.public_keys(log=log_name(log))
        )
        given = ["--key", keys, *(["--anchors", str(anchors)] if anchors else [])]
        given += [f"--witness={one}" for one in witness]
        sys.exit(verify.main([*map(str, paths), *given]))

    def _verify_database(
        self, *, log: str | None, without_anchors: bool, json: bool, **_others: object
    ) -> int:
        known = logs_to_check()
        if log and log not in known:
            raise CommandError(f"There is no log called {log}.", returncode=WRONG_USE)
        verdicts = []
        for name in [log] if log else known:
            with tqdm(
                desc=name, unit=" events", disable=json or not sys.stderr.isatty()
            ) as progress:
                verdicts.append(
                    verify_and_tell(
                        log=name,
                        actor=Actor.system("command"),
                        with_anchors=not without_anchors,
                        on_progress=progress.update,
                    )
                )
        if json:
            self._say_json({"logs": [verdict.as_json() for verdict in verdicts]})
        for verdict in [] if json else verdicts:
            self.stdout.write(
                f"{verdict.state.upper()}: log {verdict.log}, {verdict.events} events, "
                f"{verdict.size} leaves, {verdict.anchors} anchored heads"
            )
            said = (*verdict.faults, *verdict.notes, *verdict.attested.values())
            for line in map(str, said):
                self.stdout.write(f"  {line}")
        states = {verdict.state for verdict in verdicts}
        if State.TAMPERED in states:
            return verify.TAMPERED
        return verify.INCOMPLETE if State.INCOMPLETE in states else verify.INTACT

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


def _deed(deeds: Any, name: str, text: str, example: str) -> CommandParser:
    made: CommandParser = deeds.add_parser(
        name,
        help=text,
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return made


def _folder_name(log: UUID | None, from_at: datetime, until_at: datetime | None) -> str:
    zone = timezone.get_default_timezone()

    def said(at: datetime) -> str:
        local = at.astimezone(zone)
        is_day = local.time() == time()
        return f"{local:%Y-%m-%d}" if is_day else f"{local:%Y-%m-%dT%H%M%S}"

    return f"{log_name(log)}-{said(from_at)}-to-{said(until_at) if until_at else 'now'}"


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


def _uuid(text: str) -> UUID:
    if not is_uuid(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no event's id")
    return UUID(text)
