"""The log's page of one person: what she has done, by type and one by one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from audit.counting import TooManyToCount
from audit.doings import counts_by_type, doings
from audit.events import EventType, Target, is_reference, is_uuid
from audit.forms import FilterForm
from audit.names import names_of
from audit.operations import AuditUnavailable, accountable
from audit.pages import READ, append_look, permitted_log, place_of, unavailable
from audit.presentation import LogChoice, Named
from audit.registry import REGISTRY
from audit.telling import told


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
    after = place_of(request)
    try:
        with accountable():
            found = doings(wanted=wanted, after=after)
            append_look(
                request,
                permitted,
                {"page": "person", "count": found.events, **wanted.facts},
                # Whom the look was at, where it was a person; a part of the system is nobody.
                target=Target("user", reference) if is_uuid(reference) else None,
            )
    except AuditUnavailable as error:
        return unavailable(request, error)
    rows, _names = told([happening.event for happening in found.happenings], also=())
    context: dict[str, Any] = {
        "rows": [
            {"said": said, "happening": happening}
            for said, happening in zip(rows, found.happenings, strict=True)
        ]
    }
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


def _in_words(counts: list[tuple[str, int]]) -> list[tuple[str, str, int]]:
    known = EventType.__members__.values()
    return [
        (kind, str(REGISTRY[EventType(kind)].description) if kind in known else kind, count)
        for kind, count in counts
    ]
