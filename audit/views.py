"""The audit log's pages: looking into a log, and taking it along."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from audit import clock, export, queries
from audit.events import INSTALLATION, EventType, Target, log_name
from audit.forms import ExportForm, FilterForm
from audit.names import names_of
from audit.operations import AuditUnavailable, accountable, append
from audit.pages import actor_of, permitted_log, unavailable
from audit.presentation import LogChoice, describe, references_of

READ = "audit.read"
EXPORT = "audit.export"


@require_GET
def log_page(request: HttpRequest) -> HttpResponse:
    """Show events of one log, newest first; the look itself is an event in it."""
    log = permitted_log(request, READ, request.GET.get("log"))
    form = FilterForm(request.GET)
    if not form.is_valid():
        return _render_log(request, log, form, queries.Page([], None))
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
    return _render_log(request, log, form, page)


@require_POST
def export_log(request: HttpRequest) -> HttpResponseBase:
    """Send events of one log as a file, once the export has been logged."""
    log = permitted_log(request, EXPORT, request.POST.get("log"))
    form = ExportForm(request.POST)
    if not form.is_valid():
        return _render_log(request, log, form, queries.Page([], None), status=400)
    written = export.Format(form.cleaned_data["format"])
    now = clock.now()
    try:
        pieces = export.begin(
            wanted=form.wanted(log), form=written, actor=actor_of(request), now=now
        )
    except AuditUnavailable as error:
        return unavailable(request, error)
    # Under ASGI Django would gather a plain iterator whole before it sends anything.
    streamed = _in_thread(pieces) if isinstance(request, ASGIRequest) else pieces
    answer = StreamingHttpResponse(streamed, content_type=export.CONTENT_TYPES[written])
    answer.headers["Content-Disposition"] = (
        f'attachment; filename="audit-{log_name(log)}-{now:%Y%m%dT%H%M%SZ}.{written.value}"'
    )
    return answer


def _render_log(
    request: HttpRequest,
    log: UUID | None,
    form: FilterForm,
    page: queries.Page,
    status: int = 200,
) -> HttpResponse:
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
            "formats": list(export.Format),
            "older_url": f"?{urlencode([*filters, ('after', str(page.next_place))])}"
            if page.next_place
            else None,
        },
        status=status,
    )


async def _in_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    def following() -> bytes | None:
        return next(pieces, None)

    while (piece := await sync_to_async(following)()) is not None:
        yield piece
