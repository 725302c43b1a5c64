"""Says why a conversation is kept and who could reach it: manage.py explain CONVERSATION."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError, no_translations

from audit import clock
from audit.events import Actor
from audit.management.opened import check_open
from retention.explanation import ExplainedPurpose, Explanation, MatchedRule, Next, Why
from retention.operations.explain import ConversationUnknown, NotThatTime, explain
from retention.queries import zone_of

EXAMPLE = """
Example:
  manage.py explain 0199c2f0-5b6e-7cc1-8f60-2f1f4f0d3f11
  manage.py explain 0199c2f0-5b6e-7cc1-8f60-2f1f4f0d3f11 --json
  manage.py explain 0199c2f0-5b6e-7cc1-8f60-2f1f4f0d3f11 --at 2026-11-22T12:00:00+02:00

With --at it is the answer that was given at that time. Names of persons are printed; the question
is written to the audit log.
Exit code 0: explained. 1: it needs a person (no rule covers it, or its destruction is stuck).
2: wrong use, or there is no such conversation.
"""

NEXT = {
    Next.GONE: "It was destroyed; this is its residual record.",
    Next.GOING: "It is withdrawn: nobody reaches it, and it is being destroyed.",
    Next.HELD: "It is held: nothing destroys it until the last hold is lifted.",
    Next.REQUEST_OPEN: "A data subject's request is open: nothing destroys it before that closes.",
    Next.UNCOVERED: "No rule covers it: it is closed to everybody until somebody decides.",
    Next.OBSERVED: "Its source or company is only observed: it is not destroyed until released.",
    Next.BRAKED: "Its time has ended; the brake has stopped the purge runs.",
    Next.DUE: "Its time has ended: the next purge run destroys it.",
    Next.ENDS: "It is destroyed by the first purge run after its time has ended.",
}

WHY = {
    Why.ONLY: "no other could",
    Why.LONGEST: "it keeps longest",
    Why.OLDER: "another keeps as long, this is the older",
}


class Command(BaseCommand):
    """Explains one conversation."""

    help = "Say why a conversation is kept, until when, and who could reach it."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name what the command takes."""
        parser.add_argument("conversation", metavar="CONVERSATION", help="its id")
        parser.add_argument(
            "--at",
            metavar="TIME",
            type=_time,
            help="as it stood then: ISO 8601 with an offset or Z",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Explain, as text or JSON."""
        check_open()
        try:
            conversation_id = UUID(options["conversation"])
            explanation = explain(
                conversation_id=conversation_id,
                actor=Actor.system("explain"),
                now=clock.now(),
                at=options["at"],
            )
        except NotThatTime as error:
            raise CommandError(str(error), returncode=2) from error
        except (ValueError, ConversationUnknown) as error:
            raise CommandError("There is no conversation of that id.", returncode=2) from error
        if options["json"]:
            self.stdout.write(json.dumps(explanation.as_json(), ensure_ascii=False, indent=2))
        else:
            for line in as_text(explanation, zone=zone_of(explanation.controller)):
                self.stdout.write(line)
        proof = explanation.certificate_line
        if explanation.next is Next.UNCOVERED or (proof is not None and proof.needs_person):
            raise SystemExit(1)


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ArgumentTypeError("say the offset too, such as +02:00, or Z")
    return at


def as_text(explanation: Explanation, *, zone: ZoneInfo) -> Iterator[str]:
    """The explanation in lines, times on the clock of the controller's zone."""

    def shown(at: datetime | None) -> str:
        return at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z") if at else "-"

    yield f"Conversation {explanation.conversation}"
    if explanation.at != explanation.asked_at:
        yield f"  As it stood at {shown(explanation.at)}"
    yield (
        f"  {explanation.controller}, {explanation.kind}, ended {shown(explanation.ended_at)}, "
        f"captured {shown(explanation.captured_at)}"
    )
    yield f"  State: {explanation.state}. Ends: {shown(explanation.destroy_after)}."
    yield f"  {NEXT[explanation.next]}"
    yield f"  Privacy notice: {explanation.notice or 'not known'}."
    if explanation.barred_by:
        yield f"  Barred from destruction by: {', '.join(explanation.barred_by)}."
    if explanation.decide_before:
        yield f"  To be decided before {shown(explanation.decide_before)}."
    for label, at in (
        ("Restricted", explanation.restricted_at),
        ("Closed as captured by mistake", explanation.closed_at),
        ("Withdrawn", explanation.withdrawn_at),
        ("Key destroyed", explanation.key_destroyed_at),
        ("Destroyed", explanation.destroyed_at),
    ):
        if at:
            yield f"  {label}: {shown(at)}"
    yield from _section("Why", [line for p in explanation.purposes for line in _why(p, shown)])
    yield from _section(
        "Rules in force that do not speak of it",
        [f"{one.rule}, version {one.version}: {one.reason}" for one in explanation.unmatched],
    )
    yield from _section(
        f"Holds ({explanation.hold_count} in force), open requests: {explanation.open_requests}",
        [
            f"{hold.matter}: placed {shown(hold.placed_at)} by {hold.placed_by or 'the system'}"
            + (f", lifted {shown(hold.lifted_at)}" if hold.lifted_at else "")
            for hold in explanation.holds
        ],
    )
    yield from _section(
        f"Who could reach it at {shown(explanation.at)}",
        [
            f"{one.name} ({one.reference}) for {one.purpose} by {one.through} {one.of}"
            + (f" until {shown(one.until_at)}" if one.until_at else "")
            for one in explanation.reach
        ],
    )
    yield from _section(
        "Who has reached it, as long as the log's term runs",
        [
            f"{one.name} ({one.reference}): {one.count} times, last {shown(one.last_at)}"
            for one in explanation.heard
        ],
    )
    line = explanation.certificate_line
    if line is not None:
        yield ""
        state = f"on certificate {line.certificate}" if line.certificate else "awaiting seal"
        yield f"Certificate line of purge run {line.run} ({state})"
        yield f"  {line.objects} object versions, method {line.method}"
        yield (
            f"  withdrawn {shown(line.withdrawn_at)}, key destroyed {shown(line.key_destroyed_at)},"
            f" deleted {shown(line.deleted_at)}, confirmed {shown(line.confirmed_at)},"
            f" concluded {shown(line.concluded_at)}"
        )
        if line.needs_person:
            yield f"  Needs a person: {line.problem}"


def _section(title: str, lines: list[str]) -> Iterator[str]:
    yield ""
    yield title
    yield from (f"  {line}" for line in lines or ["none"])


def _why(purpose: ExplainedPurpose, shown: Any) -> Iterator[str]:
    yield (
        f"{purpose.purpose}: "
        + (f"until {shown(purpose.until_at)}" if purpose.until_at else "closed")
        + (f", moved there by the {purpose.bounded_by}" if purpose.bounded_by else "")
    )
    if purpose.floor_at or purpose.ceiling_at:
        yield f"  floor {shown(purpose.floor_at)}, ceiling {shown(purpose.ceiling_at)}"
    if purpose.computed_until_at and purpose.computed_until_at != purpose.until_at:
        yield f"  rules changed: {shown(purpose.computed_until_at)} once it is computed anew"
    for rule in purpose.rules:
        if rule.excludes:
            yield f"  excludes: {rule.rule}, version {rule.version}"
            continue
        yield (
            f"  {'decides' if rule.decides else 'matches'}: {rule.rule}, version {rule.version}, "
            f"{rule.keep_months} months {rule.keep_days} days on Art. {rule.legal_basis}, "
            f"by itself until {shown(rule.until_at)}"
            + (f" ({WHY[purpose.why]})" if rule.decides and purpose.why else "")
            + (
                " (set aside: it names no condition of Art. 9, and this may hold health data)"
                if rule.lacks_article_9_condition
                else ""
            )
        )
        if rule.cap_at:
            yield f"    {rule.trigger}: {_event(rule, shown)}"
        if rule.not_until:
            yield (
                f"    not until {shown(rule.not_until)}: newer than the conversation, and neither "
                "a statute nor its privacy notice states so long"
            )
        if rule.statute:
            yield f"    statute: {rule.statute}"


def _event(rule: MatchedRule, shown: Any) -> str:
    if rule.counted_from is None:
        return f"not yet, so that it ends at its cap {shown(rule.cap_at)}"
    return f"counted from {shown(rule.counted_from)}, at most until {shown(rule.cap_at)}"
