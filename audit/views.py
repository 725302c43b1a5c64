"""The audit log's page: looking into a log."""

from __future__ import annotations

import json
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from audit import clock, queries
from audit.bundles.copies import Format
from audit.events import INSTALLATION, Actor, EventType, Target, log_name
from audit.forms import FilterForm
from audit.names import names_of
from audit.operations import AuditUnavailable, accountable, append, append_alone
from audit.presentation import LogChoice, describe, references_of

READ = "audit.read"
EXPORT = "audit.export"


@require_GET
def log_page(request: HttpRequest) -> HttpResponse:
    """Show events of one log, newest first; the look itself is an event in it."""
    log = permitted_log(request, READ, request.GET.get("log"))
    form = FilterForm(request.GET)
    if not form.is_valid():
        return render_log(request, log, form, queries.Page([], None))
    wanted = form.wanted(log)
    try:
        after = queries.Place.parse(request.GET["after"]) if request.GET.get("after") else None
    except queries.NotACursor as error:
        raise Http404 from error
    try:
        with accountable():
            page = queries.page(wanted=wanted, after=after, rows=queries.PAGE_ROWS)
            append(
                event_type=EventType.AUDIT_LISTED,
                actor=actor_of(request),
                now=clock.now(),
                log=log,
                target=Target("log", log_name(log)),
                facts={
                    "count": len(page.events),
                    "filters": wanted.names,
                    "from": wanted.from_at,
                    "until": wanted.until_at,
                },
            )
    except AuditUnavailable as error:
        return unavailable(request, error)
    return render_log(request, log, form, page)


def permitted_log(request: HttpRequest, permission: str, name: str | None) -> UUID | None:
    """
    The log asked for, or the first the person may see.

    Raises Http404, after logging it, if there is none: a log that she may not see and one that
    does not exist look the same.
    """
    # Controllers' logs first: the installation's is for the few who look after all of them.
    known = sorted(queries.logs(), key=lambda log: log is None)
    asked = known if not name else [log for log in known if log_name(log) == name]
    for log in asked:
        if cast(Any, request.user).has_perm(permission, log):
            return log
    refused = asked[0] if name and asked else None
    try:
        append_alone(
            event_type=EventType.PAGE_REFUSED,
            actor=actor_of(request),
            now=clock.now(),
            log=refused,
            target=Target("log", log_name(refused) if asked else "unknown"),
            facts={"page": "audit:log", "permission": permission},
        )
    except AuditUnavailable:
        # A refusal stays one, logged or not.
        raise Http404 from None
    raise Http404


def render_log(
    request: HttpRequest,
    log: UUID | None,
    form: FilterForm,
    page: queries.Page,
    status: int = 200,
) -> HttpResponse:
    """Show events of a log with the form they were asked for by."""
    user = cast(Any, request.user)
    readable = [one for one in queries.logs() if user.has_perm(READ, one)]
    details = queries.details([event.event_id for event in page.events])
    bodies = {event.event_id: json.loads(event.body) for event in page.events}
    names = names_of(
        {log_name(one) for one in readable if one}
        | {ref for event in page.events for ref in references_of(event, bodies[event.event_id])}
    )
    names[INSTALLATION] = _("The installation")
    filters = [(key, value) for key, value in request.GET.items() if key != "after" and value]
    return render(
        request,
        "audit/log.html",
        {
            "form": form,
            "log": LogChoice(log_name(log), names.get(log_name(log), log_name(log))),
            "logs": [
                LogChoice(log_name(one), names.get(log_name(one), log_name(one)))
                for one in readable
            ],
            "rows": [
                describe(event, bodies[event.event_id], details.get(event.event_id), names)
                for event in page.events
            ],
            "is_filtered": any(form.data.get(name) for name in form.fields),
            "may_export": user.has_perm(EXPORT, log),
            "formats": list(Format),
            "older_url": f"?{urlencode([*filters, ('after', str(page.next_place))])}"
            if page.next_place
            else None,
        },
        status=status,
    )


def unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    """Say that it is not possible for now, and why."""
    return render(request, "audit/unavailable.html", {"message": str(error)}, status=503)


def actor_of(request: HttpRequest) -> Actor:
    """Give who asks, as events name her."""
    # The project's user has a random reference; this app knows no more of her than that.
    return Actor.user(cast(Any, request.user).reference)
