"""How an event is shown to a person: words for codes, names beside references."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.events import EventType, Outcome, is_uuid
from audit.fact_forms import FactKind
from audit.models import AuditDetail, Event
from audit.registry import FACTS, REGISTRY

OUTCOMES = {
    Outcome.ALLOW: gettext_lazy("Allowed"),
    Outcome.DENY: gettext_lazy("Refused"),
    Outcome.ERROR: gettext_lazy("Failed"),
}


@dataclass(frozen=True, slots=True)
class LogChoice:
    """A log that can be chosen: what it is called in the tables and by people."""

    name: str
    title: str


@dataclass(frozen=True, slots=True)
class Named:
    """A reference with the name it has, if anybody still knows it."""

    reference: str
    name: str


@dataclass(frozen=True, slots=True)
class Row:
    """One event as a row of the page."""

    event_id: str
    happened_at: datetime
    actor: Named
    actor_role: str
    what: str
    event_type: str
    target_kind: str
    target: Named | None
    conversation: str
    outcome: str
    outcome_text: str
    why: str
    facts: list[tuple[str, str]]


def describe(
    event: Event, body: Mapping[str, Any], detail: AuditDetail | None, names: Mapping[str, str]
) -> Row:
    """An event with everything that is said about it, in the language of the moment."""
    known_type = event.event_type in EventType.__members__.values()
    return Row(
        event_id=str(event.event_id),
        happened_at=event.happened_at,
        actor=Named(event.actor, names.get(event.actor, event.actor)),
        actor_role=event.actor_role or "",
        # An event of a later version of the program is shown by its type.
        what=str(REGISTRY[EventType(event.event_type)].description)
        if known_type
        else event.event_type,
        event_type=event.event_type,
        target_kind=event.target_kind or "",
        target=Named(event.target, names.get(event.target, event.target)) if event.target else None,
        conversation=str(event.conversation or ""),
        outcome=event.outcome,
        outcome_text=str(OUTCOMES[Outcome(event.outcome)]),
        why=_readable(event.basis or "", names),
        facts=list(_facts(event, body, detail, names)),
    )


def references_of(event: Event, body: Mapping[str, Any]) -> Iterator[str]:
    """Every reference in the event that somebody may know a name for."""
    yield event.actor
    if event.target:
        yield event.target
    yield from (part for part in (event.basis or "").split(":") if is_uuid(part))
    for value in body.get("x", {}).values():
        for member in value if isinstance(value, list) else [value]:
            if isinstance(member, str) and is_uuid(member):
                yield member


def _facts(
    event: Event, body: Mapping[str, Any], detail: AuditDetail | None, names: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    if event.purpose:
        yield _("Purpose"), event.purpose
    if event.subject:
        yield _("Data subject"), str(event.subject)
    for key, value in body.get("x", {}).items():
        label = FACTS[key][1] if key in FACTS else key
        yield str(label), _fact(key, value, names)
    if detail is not None:
        for key, text in json.loads(detail.text).items():
            yield str(DETAILS.get(key, key)), text
    elif "pd" in body:
        yield _("Details"), _("erased")
    if "req" in body:
        yield _("Request"), body["req"]["id"]


DETAILS = {
    "reason": gettext_lazy("Reason given"),
    "words": gettext_lazy("Searched for"),
    "address": gettext_lazy("Network address"),
    "user_agent": gettext_lazy("Browser"),
}


def _fact(key: str, value: object, names: Mapping[str, str]) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(_readable(str(member), names) for member in value)
    if isinstance(value, str) and key in FACTS and FACTS[key][0] is FactKind.INSTANT:
        return date_format(localtime(datetime.fromisoformat(value)), "DATETIME_FORMAT")
    return _readable(str(value), names)


def _readable(text: str, names: Mapping[str, str]) -> str:
    return ": ".join(names.get(part, part) for part in text.split(":"))
