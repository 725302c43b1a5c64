"""The log's page: searches that one person saves for herself."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from audit import clock
from audit.events import log_name
from audit.forms import FilterForm, SearchNameForm
from audit.operations.searches import SearchNotSaved, delete_search, save_search
from audit.pages import READ, actor_of, permitted_log


@require_POST
def save(request: HttpRequest) -> HttpResponse:
    """Save the filter that is shown under a name."""
    log = permitted_log(request, READ, request.POST.get("log"))
    filters, named = FilterForm(request.POST), SearchNameForm(request.POST)
    query = filters.as_query() if filters.is_valid() else ""
    if not query:
        messages.error(request, _("There is no filter to save."))
    elif not named.is_valid():
        messages.error(request, str(named.errors["name"][0]))
    else:
        try:
            save_search(
                owner=UUID(actor_of(request).reference),
                log=log,
                name=named.cleaned_data["name"],
                query=query,
                now=clock.now(),
            )
        except SearchNotSaved as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, _("The search is saved. Only you see it."))
    return redirect(_page(log, query))


@require_POST
def delete(request: HttpRequest, search_id: UUID) -> HttpResponse:
    """Delete a search of hers; what is not hers does not exist."""
    log = permitted_log(request, READ, request.POST.get("log"))
    owner = UUID(actor_of(request).reference)
    if not delete_search(owner=owner, log=log, search=search_id):
        raise Http404
    messages.success(request, _("The saved search is deleted."))
    return redirect(_page(log, ""))


def _page(log: UUID | None, query: str) -> str:
    filters = urlencode([("log", log_name(log)), *parse_qsl(query)])
    return f"{reverse('audit:log')}?{filters}"
