"""What a data subject is told of the looks at her data: when, for what, which kind of look."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from audit.events import EventType, Outcome, log_name
from audit.models import Event
from audit.names import names_of
from audit.presentation import OUTCOMES
from audit.registry import REGISTRY

# A spreadsheet takes a cell that begins with one of these for a formula (OWASP, CSV Injection).
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\n", "\r")


@dataclass(frozen=True, slots=True)
class Look:
    """One look at her data; the ranges of one listening are one look, at its beginning."""

    log: str
    happened_at: datetime
    event_type: str
    purpose: str
    outcome: str
    actor: str
    actor_role: str


@dataclass(frozen=True, slots=True)
class SubjectReport:
    """The looks, oldest first, and how many at conversations of hers name no data subject."""

    looks: Sequence[Look]
    unknown: int

    @property
    def logs(self) -> set[str]:
        """The logs in which there was a look."""
        return {look.log for look in self.looks}


def subject_report(
    *, logs: Sequence[UUID | None], subject: UUID, conversations: Sequence[UUID]
) -> SubjectReport:
    """
    Every look that these logs know of at the data of a person, by her random reference.

    Looks at `conversations`, which are hers, that were logged without a data subject are counted.

    Source: GDPR Art. 15; CJEU C-579/21: dates and purposes.
    """
    names = [log_name(log) for log in logs]
    hers = Event.objects.filter(log__in=names, subject=subject).exclude(
        event_type=EventType.SUBJECT_REPORTED
    )
    looks: dict[str, Look] = {}
    for event in hers.order_by("happened_at", "id").iterator():
        play = json.loads(event.body).get("x", {}).get("play")
        looks.setdefault(play or str(event.event_id), _look(event))
    unknown = Event.objects.filter(
        log__in=names,
        subject=None,
        conversation__in=list(conversations),
        event_type__in=[kind.value for kind, rule in REGISTRY.items() if rule.expects_subject],
    )
    return SubjectReport(list(looks.values()), unknown.count())


def as_csv(report: SubjectReport, *, with_staff: bool) -> str:
    """
    Write the report as CSV, in the language of the moment and the current time zone.

    Without staff unless they were asked for.
    """
    looks = report.looks
    names = names_of(
        {look.log for look in looks} | ({look.actor for look in looks} if with_staff else set())
    )
    text = io.StringIO()
    rows = csv.writer(text)
    heads = [_("When"), _("Company"), _("What"), _("Purpose"), _("Outcome")]
    rows.writerow([*heads, _("Who"), _("Role")] if with_staff else heads)
    for look in looks:
        cells = [
            localtime(look.happened_at).isoformat(timespec="seconds"),
            names.get(look.log, look.log),
            _what(look.event_type),
            look.purpose,
            str(OUTCOMES[Outcome(look.outcome)]),
        ]
        if with_staff:
            cells += [_named(look.actor, names), look.actor_role]
        rows.writerow([_harmless(cell) for cell in cells])
    if report.unknown:
        rows.writerow([])
        rows.writerow([_("Looks without a known data subject"), str(report.unknown)])
    return text.getvalue()


def _look(event: Event) -> Look:
    return Look(
        event.log,
        event.happened_at,
        event.event_type,
        event.purpose or "",
        event.outcome,
        event.actor,
        event.actor_role or "",
    )


def _what(event_type: str) -> str:
    known = event_type in EventType.__members__.values()
    return str(REGISTRY[EventType(event_type)].description) if known else event_type


def _named(reference: str, names: Mapping[str, str]) -> str:
    return names.get(reference, reference)


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA_SIGNS) else cell
