"""The deed of `manage.py audit` that delivers whole months, as the timetable does daily."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import translation

from audit.events import Actor
from audit.operations.delivering import Delivered, deliver_months

NEEDS_A_PERSON = 1
WRONG_USE = 2

EXAMPLE = """\
Example:
  manage.py audit monthly
  manage.py audit monthly --json

Delivers to AUDIT_EXPORT_TO each month of each log that is over and was not delivered, oldest first,
as one .zip with its proofs. What was delivered is not delivered again; if it is stopped, the same
command goes on where it was. A worker does the same daily.

Exit code 1 if a month could not be delivered."""


def add_deeds(deeds: Any) -> None:
    """Add the subcommand."""
    monthly = deeds.add_parser(
        "monthly",
        help="deliver whole months",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    monthly.add_argument("--json", action="store_true", help="say the result as JSON")


def deliver(*, as_json: bool, say: Callable[[str], object]) -> bool:
    """Deliver what is due; returns whether all of it was."""
    if not settings.AUDIT_EXPORT_TO:
        raise CommandError(
            "AUDIT_EXPORT_TO is not set: it says where months are delivered, such as "
            "s3://bucket/folder or sftp://user@host/folder.",
            returncode=WRONG_USE,
        )
    delivered, failed = [], []
    for outcome in deliver_months(actor=Actor.system("command")):
        month = f"{outcome.month:%Y-%m}"
        if isinstance(outcome, Delivered):
            delivered.append({"log": outcome.log, "month": month, "place": outcome.place})
            line = f"{month}  {outcome.place}"
        else:
            failed.append({"log": outcome.log, "month": month, "reason": outcome.reason})
            # In English, as all that commands say.
            with translation.override(None):
                line = f"{month}  NOT DELIVERED, log {outcome.log}: {outcome.sentence}"
        if not as_json:
            say(line)
    if as_json:
        say(json.dumps({"delivered": delivered, "failed": failed}))
    elif not delivered and not failed:
        say("Nothing is due.")
    return not failed
