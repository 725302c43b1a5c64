"""The deeds of `manage.py audit` about people: a data subject's report, a detail erased."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import translation

from audit import queries, reports
from audit.events import Actor
from audit.operations.details import REASONS, DetailNotErased, erase_detail
from audit.operations.reports import StaffWithoutReason, report_on_subject

NEEDS_A_PERSON = 1
WRONG_USE = 2
ACTOR = Actor.system("command")

REPORT_EXAMPLE = """\
Example:
  manage.py audit report --subject 1f0e… --conversation 7c2a… --output report.csv --language sv

When, which company, which kind of look, for which purpose: CSV. Staff are left out unless
--with-staff is given with its --reason, which is logged. Looks at her conversations that were
logged without a data subject are counted."""

ERASE_EXAMPLE = """\
Example:
  manage.py audit erase-detail 019a… --reason data_subject

The event stays and still verifies; that its detail was erased is logged."""


def add_deeds(deeds: Any) -> None:
    """Add the subcommands."""
    report = deeds.add_parser(
        "report",
        help="write a data subject's report",
        epilog=REPORT_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    report.add_argument("--subject", type=UUID, required=True, help="her random reference")
    report.add_argument(
        "--conversation",
        dest="conversations",
        action="append",
        type=UUID,
        default=[],
        help="the id of a conversation of hers; may be repeated",
    )
    report.add_argument("--with-staff", action="store_true", help="name who looked")
    report.add_argument("--reason", default="", help="why staff must be named")
    report.add_argument(
        "--language",
        choices=[code for code, _name in settings.LANGUAGES],
        default=settings.LANGUAGE_CODE,
    )
    report.add_argument("--output", type=Path, required=True, metavar="FILE")
    erase = deeds.add_parser(
        "erase-detail",
        help="erase what is personal about one event",
        epilog=ERASE_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    erase.add_argument("event_id", type=UUID, metavar="EVENT")
    erase.add_argument("--reason", choices=REASONS, required=True)


def report(*, now: datetime, options: dict[str, Any], say: Callable[[str], object]) -> None:
    """Write a data subject's report to a new file, readable by its owner only."""
    try:
        made = report_on_subject(
            logs=queries.logs(),
            subject=options["subject"],
            conversations=options["conversations"],
            with_staff=options["with_staff"],
            reason=options["reason"],
            actor=ACTOR,
            now=now,
        )
    except StaffWithoutReason as error:
        raise CommandError(_in_english(error), returncode=WRONG_USE) from error
    output: Path = options["output"]
    with translation.override(options["language"]):
        text = reports.as_csv(made, with_staff=options["with_staff"])
    output.touch(mode=0o600, exist_ok=False)
    output.write_text(text, encoding="utf-8", newline="")
    say(f"{len(made.looks)} looks, {made.unknown} more without a known data subject: {output}")


def erase(*, now: datetime, options: dict[str, Any], say: Callable[[str], object]) -> None:
    """Erase one event's detail."""
    try:
        erase_detail(event_id=options["event_id"], reason=options["reason"], actor=ACTOR, now=now)
    except DetailNotErased as error:
        raise CommandError(_in_english(error), returncode=NEEDS_A_PERSON) from error
    say("The detail was erased; the event stays.")


def _in_english(error: Exception) -> str:
    # As all that commands say.
    with translation.override(None):
        return str(error)
