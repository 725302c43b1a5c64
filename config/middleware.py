"""Stops what cannot be logged, wherever it was to happen, and a restored system as a whole."""

from __future__ import annotations

from collections.abc import Callable

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from redis.exceptions import RedisError

from audit.checks import NotOpen, refuse_unless_open
from audit.operations import AuditUnavailable

HEALTH = "/healthz"


class StoppedMiddleware:
    """Answers 503 with the reason when a deed was refused because it cannot be logged (law 2)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Translate AuditUnavailable, a database or broker that cannot; a bug stays a bug."""
        if isinstance(exception, AuditUnavailable):
            return render(request, "recordings/stopped.html", {"reason": exception}, status=503)
        if isinstance(exception, OperationalError):
            return render(request, "recordings/stopped.html", status=503)
        if isinstance(exception, RedisError):
            # Attempts to sign in are counted there: uncounted, nobody may guess.
            reason = _("Signing in is stopped for now.")
            return render(request, "recordings/stopped.html", {"reason": reason}, status=503)
        return None


class OpenedMiddleware:
    """Answers 503 with the reason while a backup may have brought back what was destroyed."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            refuse_unless_open()
        except NotOpen as closed:
            if request.path == HEALTH:
                return JsonResponse({"status": "closed", "reason": str(closed)}, status=503)
            # Without the request: who asks stands in the database that is not to be shown.
            return HttpResponse(render_to_string("closed.html", {"reason": closed}), status=503)
        return self.get_response(request)
