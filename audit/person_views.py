"""The log's page of one person: what she has done, by type and one by one."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from audit import clock, queries
from audit.counting import TooManyToCount
from audit.doings import Doings, counts_by_type, doings
from audit.events import EventType, Target, is_reference, is_uuid, log_name
from audit.forms import FilterForm
from audit.names import names_of
from audit.operations import AuditUnavailable, accountable, append
from audit.pages import actor_of, permitted_log, unavailable
from audit.presentation import LogChoice, Named, describe, references_of
from audit.registry import REGISTRY
from audit.views import READ


@require_GET
def person(request: HttpRequest, log: str, reference: str) -> HttpResponse:
    """Show what one person, or a part of the system, has done; the look is an event."""
    permitted = permitted_log(request, READ, log)
    if not (is_uuid(reference) or is_reference(reference)):
        raise Http404
    days = {name: request.GET.get(name, "") for name in ("from_date", "until_date")}
    form = FilterForm({"who": reference, **days})
    if not form.is_valid():
        return _page(request, log, reference, form, {})
    wanted = form.wanted(permitted)
    try:
        after = queries.Place.parse(request.GET["after"]) if request.GET.get("after") else None
    except queries.NotACursor as error:
        raise Http404 from error
    try:
        with accountable():
            found = doings(wanted=wanted, after=after)
            append(
                event_type=EventType.AUDIT_LISTED,
                actor=actor_of(request),
                now=clock.now(),
                log=permitted,
                target=_target(log_name(permitted), reference),
                facts={
                    "page": "person",
                    "count": found.events,
                    "filters": wanted.names,
                    "from": wanted.from_at,
                    "until": wanted.until_at,
                },
            )
    except AuditUnavailable as error:
        return unavailable(request, error)
    context: dict[str, Any] = {"rows": _rows(found, log)}
    try:
        context["counts"] = _in_words(counts_by_type(wanted=wanted))
    except TooManyToCount:
        context["is_too_much"] = True
    if found.next_place:
        kept = [(name, value) for name, value in days.items() if value]
        context["older_url"] = f"?{urlencode([*kept, ('after', str(found.next_place))])}"
    return _page(request, log, reference, form, context)


def _page(
    request: HttpRequest, log: str, reference: str, form: FilterForm, context: dict[str, Any]
) -> HttpResponse:
    names = names_of({log, reference})
    shared = {
        "log": LogChoice(log, names.get(log, log)),
        "person": Named(reference, names.get(reference, reference)),
        "form": form,
    }
    return render(request, "audit/person.html", shared | context)


def _target(log: str, reference: str) -> Target:
    # Whom the look was at, where it was a person; a part of the system is nobody.
    return Target("user", reference) if is_uuid(reference) else Target("log", log)


def _rows(found: Doings, log: str) -> list[dict[str, object]]:
    events = [doing.event for doing in found.rows]
    details = queries.details([event.event_id for event in events])
    bodies = {event.event_id: json.loads(event.body) for event in events}
    names = names_of(
        {log} | {ref for event in events for ref in references_of(event, bodies[event.event_id])}
    )
    return [
        {
            "doing": doing,
            "said": describe(
                doing.event, bodies[doing.event.event_id], details.get(doing.event.event_id), names
            ),
        }
        for doing in found.rows
    ]


def _in_words(counts: list[tuple[str, int]]) -> list[tuple[str, str, int]]:
    known = EventType.__members__.values()
    return [
        (kind, str(REGISTRY[EventType(kind)].description) if kind in known else kind, count)
        for kind, count in counts
    ]
