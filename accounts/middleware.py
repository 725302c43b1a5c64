"""Every page needs a person who is signed in and lately active, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.middleware import LoginRequiredMiddleware as DjangoLoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from audit import clock

BEGAN = "began"
LAST_SEEN = "last_seen"
TOUCH_SECONDS = 60


class ArrivalMiddleware:
    """Asks the database's clock once a request: `request.arrived_at` is the time views pass on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.arrived_at = clock.now()  # type: ignore[attr-defined]
        if request.user.is_authenticated:
            request.user.asks_at = request.arrived_at  # type: ignore[attr-defined]
        return self.get_response(request)


class LoginRequiredMiddleware(DjangoLoginRequiredMiddleware):
    """
    Sends whoever is not signed in to the sign-in page; media answer 401 instead.

    A session that has been idle for SESSION_IDLE_SECONDS, or began SESSION_COOKIE_AGE seconds ago,
    is ended.
    """

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase], *args: object
    ) -> HttpResponseBase | None:
        """Ask for sign-in unless the view says that it needs none."""
        if request.user.is_authenticated and self._is_over(request):
            logout(request)
        if not request.user.is_authenticated and getattr(view_func, "answers_401", False):
            return HttpResponse(status=401)
        return super().process_view(request, view_func, *args)  # type: ignore[arg-type]

    @staticmethod
    def _is_over(request: HttpRequest) -> bool:
        now = request.arrived_at.timestamp()  # type: ignore[attr-defined]
        session = request.session
        began, last_seen = session.get(BEGAN, now), session.get(LAST_SEEN, now)
        # Django counts SESSION_COOKIE_AGE from the last change, which for us never stops.
        if now - began > settings.SESSION_COOKIE_AGE:
            return True
        if now - last_seen > settings.SESSION_IDLE_SECONDS:
            return True
        if LAST_SEEN not in session or now - last_seen > TOUCH_SECONDS:
            session[BEGAN], session[LAST_SEEN] = began, now
        return False


class PrivateResponseMiddleware:
    """Keeps answers to a signed-in person out of every cache, and clears up at sign-out."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        was_signed_in = request.user.is_authenticated
        response = self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        if was_signed_in and not request.user.is_authenticated:
            response.headers["Clear-Site-Data"] = '"cache", "storage"'
        return response
