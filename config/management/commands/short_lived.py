"""Captures a chat whose time ends in two minutes, to be seen going: manage.py short_lived."""

from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from accounts.models import Source
from audit import clock
from audit.operations import AuditUnavailable
from config.samples.conversations import short_lived_line
from recordings.keyring import FileKeyring, KeyringUnavailable
from recordings.models import Conversation
from recordings.objectstore import ObjectStore, StoreRefused, StoreUnavailable
from recordings.operations.intake import Outcome, Tools, take_in
from retention.due_dates import due_at
from retention.models import RuleVersion

QUEUE = "demo"
EXAMPLE = """
Example:
  manage.py short_lived --minutes 5

The chat is captured like any other; it ended two weeks ago, which is as long as the rule of its
queue keeps it.
"""


class Command(BaseCommand):
    """Captures one chat that is about to reach its end."""

    help = "Capture a chat of the sample contact centre whose time ends in two minutes."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name what the command takes."""
        parser.add_argument("--minutes", type=float, default=2, help="until it goes (default: 2)")
        parser.add_argument("--json", action="store_true", help="one JSON object at the end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Find when it must have ended, capture it, and say when it goes."""
        now = clock.now()
        rule = (
            RuleVersion.objects.in_force(at=now)
            .filter(queues__len=1, rule__controller__queues__slug=QUEUE)
            .select_related("rule__controller")
        )
        queue_rule = next((version for version in rule if _is_for_queue(version)), None)
        if queue_rule is None:
            raise CommandError(
                "The sample contact centre has not been set up: run set_up_sample_centre first.",
                returncode=2,
            )
        ended_at = ending_at(queue_rule, now + timedelta(minutes=options["minutes"]))
        try:
            outcome = _take(ended_at)
        except (StoreUnavailable, StoreRefused, KeyringUnavailable, AuditUnavailable) as error:
            raise CommandError(f"{error} Run the command again.", returncode=2) from error
        if outcome.captured is None:
            raise CommandError(str(outcome.reason), returncode=1)
        self._report(outcome.captured.conversation_id, as_json=options["json"])

    def _report(self, conversation_id: UUID, *, as_json: bool) -> None:
        chat = Conversation.objects.select_related("controller").get(pk=conversation_id)
        assert chat.destroy_after is not None
        address = settings.BASE_URL + reverse("recordings:conversation", args=[chat.pk])
        if as_json:
            said = {"conversation": str(chat.pk), "destroy_after": chat.destroy_after.isoformat()}
            self.stdout.write(json.dumps(said | {"address": address}))
            return
        at = chat.destroy_after.astimezone(ZoneInfo(chat.controller.time_zone))
        self.stdout.write(
            f"The coach can read {address} until {at:%H:%M:%S}; "
            "then nobody can, and the next purge run destroys it."
        )


def _is_for_queue(version: RuleVersion) -> bool:
    queues = version.rule.controller.queues.filter(slug=QUEUE).values_list("pk", flat=True)
    return list(queues) == version.queues


def ending_at(version: RuleVersion, target: datetime) -> datetime:
    """When a conversation must have ended for the rule's time to end at the target."""
    zone = ZoneInfo(version.rule.controller.time_zone)
    months, days = version.keep_months, version.keep_days
    ended_at = target - timedelta(days=days + 30 * months)
    # Months and changes to summer time are no fixed length: correct until it fits.
    for _ in range(4):
        ended_at += target - due_at(trigger_at=ended_at, months=months, days=days, zone=zone)
    return ended_at


def _take(ended_at: datetime) -> Outcome:
    number = Conversation.objects.filter(segments__queue__slug=QUEUE).distinct().count()
    slug, line = short_lived_line(number, ended_at)
    source = Source.objects.select_related("controller", "default_team").get(slug=slug)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "short-lived.manifest.jsonl"
        path.write_bytes(orjson.dumps(line))
        tools = Tools(
            source=source,
            store=ObjectStore.for_content(),
            keyring=FileKeyring.from_settings(),
            clock=clock.now,
        )
        (outcome,) = take_in(paths=[path], tools=tools)
    return outcome
