"""Where to begin, whether it works, and what does not exist."""

from __future__ import annotations

import sys

from django.contrib.auth.decorators import login_not_required
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe

from accounts.http import SignedInRequest
from config.navigation import menu


@require_safe
def home(request: SignedInRequest) -> HttpResponse:
    """Go to the first page that is this person's."""
    return redirect(menu(request)["menu"][0]["url"])


@require_safe
@login_not_required
def healthz(_request: HttpRequest) -> HttpResponse:
    """Say whether the database answers."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer alike for what does not exist and what is not yours."""
    return render(request, "404.html", status=404)


def failed(_request: HttpRequest) -> HttpResponse:
    """Answer for what went wrong: 503 where the database is away, which is nobody's mistake."""
    is_away = isinstance(sys.exc_info()[1], (OperationalError, InterfaceError))
    # Without the request: who asks, and what her menu is, stands in the database as well.
    return HttpResponse(render_to_string("500.html"), status=503 if is_away else 500)
