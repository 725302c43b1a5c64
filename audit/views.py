"""The audit log's page: looking into a log."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from audit import clock, queries
from audit.bundles.copies import Format
from audit.deliveries import standing
from audit.events import INSTALLATION, log_name
from audit.forms import FilterForm, SearchNameForm
from audit.models import SavedSearch
from audit.operations import AuditUnavailable, accountable
from audit.pages import READ, actor_of, append_look, permitted_log, place_of, unavailable
from audit.presentation import LogChoice
from audit.telling import told

EXPORT = "audit.export"


@require_GET
def log_page(request: HttpRequest) -> HttpResponse:
    """Show events of one log, newest first; the look itself is an event in it."""
    log = permitted_log(request, READ, request.GET.get("log"))
    form = FilterForm(request.GET)
    if not form.is_valid():
        return render_log(request, log, form, queries.Page([], None))
    wanted = form.wanted(log)
    after = place_of(request)
    try:
        with accountable():
            page = queries.page(wanted=wanted, after=after, rows=queries.PAGE_ROWS)
            append_look(request, log, {"count": len(page.events), **wanted.facts})
    except AuditUnavailable as error:
        return unavailable(request, error)
    return render_log(request, log, form, page)


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
    rows, names = told(page.events, also=[log_name(one) for one in readable if one])
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
            "rows": rows,
            "query": urlencode([("log", log_name(log)), *(f for f in filters if f[0] != "log")]),
            "is_filtered": any(form.data.get(name) for name in form.fields),
            "verification": queries.last_verification(log=log_name(log), now=clock.now()),
            "deliveries": standing(log=log_name(log)),
            "searches": SavedSearch.objects.filter(
                owner=actor_of(request).reference, log=log_name(log)
            ).order_by("name"),
            "search_name": SearchNameForm().fields["name"],
            "may_export": user.has_perm(EXPORT, log),
            "formats": list(Format),
            "older_url": f"?{urlencode([*filters, ('after', str(page.next_place))])}"
            if page.next_place
            else None,
        },
        status=status,
    )
