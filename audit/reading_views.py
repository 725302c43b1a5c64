"""The log's larger pages: a conversation's story, counts by day, refusals in a row."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from audit import clock, reading
from audit.counting import TooManyToCount
from audit.events import log_name
from audit.forms import FilterForm
from audit.names import names_of
from audit.operations import AuditUnavailable, accountable
from audit.pages import READ, append_look, choice_of, permitted_log, place_of, unavailable
from audit.presentation import Named
from audit.telling import told

CHART_WIDTH, CHART_HEIGHT = 720, 160


@require_GET
def story(request: HttpRequest, log: str, conversation_id: UUID) -> HttpResponse:
    """Show all that happened to one conversation, oldest first."""
    permitted = permitted_log(request, READ, log)
    after = place_of(request)
    try:
        with accountable():
            found = reading.story(log=permitted, conversation=conversation_id, after=after)
            append_look(request, permitted, {"page": "story"}, conversation=conversation_id)
    except AuditUnavailable as error:
        return unavailable(request, error)
    rows, _names = told([happening.event for happening in found.happenings], also=())
    return render(
        request,
        "audit/story.html",
        {
            "conversation": conversation_id,
            "log": choice_of(log),
            "rows": [
                {"said": said, "happening": happening}
                for said, happening in zip(rows, found.happenings, strict=True)
            ],
            "older_url": f"?{urlencode({'after': str(found.next_place)})}"
            if found.next_place
            else None,
        },
    )


@require_GET
def counts(request: HttpRequest) -> HttpResponse:
    """Show how many events each day had, by how they ended."""
    log = permitted_log(request, READ, request.GET.get("log"))
    form = FilterForm(request.GET)
    now = clock.now()
    context: dict[str, Any] = {"log": choice_of(log_name(log)), "form": form}
    if form.is_valid():
        wanted = form.wanted(log)
        try:
            with accountable():
                append_look(request, log, {"page": "counts", "filters": wanted.names})
            context |= _chart(reading.days(wanted, now=now))
        except AuditUnavailable as error:
            return unavailable(request, error)
        except TooManyToCount:
            context["is_too_much"] = True
    filters = [(key, value) for key, value in request.GET.items() if value]
    return render(request, "audit/counts.html", context | {"query": urlencode(filters)})


@require_GET
def refusals(request: HttpRequest) -> HttpResponse:
    """Show who was refused again and again within the last week."""
    log = permitted_log(request, READ, request.GET.get("log"))
    context: dict[str, Any] = {
        "log": choice_of(log_name(log)),
        "least": reading.REFUSALS_IN_A_ROW,
    }
    try:
        with accountable():
            append_look(request, log, {"page": "refusals"})
        found = reading.refused_in_a_row(log=log, now=clock.now())
    except AuditUnavailable as error:
        return unavailable(request, error)
    except TooManyToCount:
        return render(request, "audit/refusals.html", context | {"is_too_much": True})
    names = names_of({one.actor for one in found})
    return render(
        request,
        "audit/refusals.html",
        context
        | {
            "rows": [(one, Named(one.actor, names.get(one.actor, one.actor))) for one in found],
        },
    )


def _chart(days: list[reading.Day]) -> dict[str, Any]:
    """Lay out the bars: allowed below, then refused, then failed, each day as wide as another."""
    highest = max((day.total for day in days), default=0) or 1
    step = CHART_WIDTH / max(len(days), 1)
    bars = []
    for number, day in enumerate(days):
        below = 0
        for outcome in ("allow", "deny", "error"):
            count = day.counts.get(outcome, 0)
            if count:
                height = CHART_HEIGHT * count / highest
                bottom = CHART_HEIGHT * below / highest
                bars.append(
                    {
                        "x": f"{number * step:.2f}",
                        "y": f"{CHART_HEIGHT - bottom - height:.2f}",
                        "width": f"{max(step * 0.8, 0.5):.2f}",
                        "height": f"{height:.2f}",
                        "outcome": outcome,
                    }
                )
                below += count
    return {
        "days": [
            {
                "day": day.day,
                "total": day.total,
                **{name: day.counts.get(name, 0) for name in ("allow", "deny", "error")},
            }
            for day in days
        ],
        "bars": bars,
        "highest": highest,
        "width": CHART_WIDTH,
        "height": CHART_HEIGHT,
        "total": sum(day.total for day in days),
    }
