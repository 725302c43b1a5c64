"""The log's page: having it checked now, and what the last check has found."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from audit import clock, queries
from audit.events import log_name
from audit.operations import AuditUnavailable
from audit.operations.verifying import CheckNotBegun, request_verification
from audit.pages import READ, actor_of, permitted_log, unavailable


@require_POST
def verify_log(request: HttpRequest) -> HttpResponse:
    """Have a log checked by a worker; while one check is under way no other is begun."""
    log = permitted_log(request, READ, request.POST.get("log"))
    try:
        request_verification(log=log, actor=actor_of(request), now=clock.now())
    except (AuditUnavailable, CheckNotBegun) as error:
        return unavailable(request, error)
    return redirect(f"{reverse('audit:log')}?log={log_name(log)}")


@require_safe
def verification(request: HttpRequest, log: str) -> HttpResponse:
    """Show the last check of a log: the piece that its page asks for while one is under way."""
    permitted_log(request, READ, log)
    found = queries.last_verification(log=log, now=clock.now())
    return render(request, "audit/_verification.html", {"verification": found, "log_name": log})
