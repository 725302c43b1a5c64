"""Where to begin, whether it works, and what does not exist."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

from django.contrib.auth.decorators import login_not_required
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe

from accounts.http import SignedInRequest
from audit import clock
from config.navigation import menu
from retention.attention import Asked, needs

HEALTH_KEPT = timedelta(seconds=5)
_last_health: tuple[datetime, str] | None = None


@require_safe
def home(request: SignedInRequest) -> HttpResponse:
    """Go to the first page that is this person's."""
    return redirect(menu(request)["menu"][0]["url"])


@require_safe
@login_not_required
def livez(_request: HttpRequest) -> HttpResponse:
    """Say whether the database answers: what a load balancer asks before it sends people here."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})


@require_safe
@login_not_required
def healthz(_request: HttpRequest) -> HttpResponse:
    """
    Say in one word whether all that should happen does, without a detail for strangers.

    `attention`: something waits for somebody's decision. `stuck`, with 503: something should have
    happened and did not; retention's page says what.
    """
    status = _health(clock.now())
    return JsonResponse({"status": status}, status=503 if status == "stuck" else 200)


def _health(now: datetime) -> str:
    """As it was found last, a few seconds ago: strangers may ask, and asking costs the database."""
    global _last_health
    if _last_health is None or not now - HEALTH_KEPT < _last_health[0] <= now:
        found = needs(Asked(now))
        stuck = any(need.kind.is_stuck for need in found)
        _last_health = (now, "stuck" if stuck else "attention" if found else "ok")
    return _last_health[1]


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer alike for what does not exist and what is not yours."""
    return render(request, "404.html", status=404)


def failed(_request: HttpRequest) -> HttpResponse:
    """Answer for what went wrong: 503 where the database is away, which is nobody's mistake."""
    is_away = isinstance(sys.exc_info()[1], (OperationalError, InterfaceError))
    # Without the request: who asks, and what her menu is, stands in the database as well.
    return HttpResponse(render_to_string("500.html"), status=503 if is_away else 500)
