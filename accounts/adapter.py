"""How allauth behaves here: nobody signs herself up, and every sign-in is an event."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse

from accounts import operations
from audit import clock


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Closes sign-up and writes sign-ins, refused sign-ins and sign-outs into the audit log."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Say no: administrators make accounts."""
        return False

    def login(self, request: HttpRequest, user: Any) -> None:
        """Sign in only when the event is committed."""
        operations.record_sign_in(user=user, now=clock.now())
        super().login(request, user)

    def logout(self, request: HttpRequest) -> None:
        """Sign out, and say so in the log."""
        user = request.user
        super().logout(request)
        if user.is_authenticated:
            operations.record_sign_out(user=user, now=clock.now())

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Refuse who has tried too often, whatever the password, and log it."""
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            self._refused(request, tried=credentials.get("email"), reason="too_many_tries")
            raise

    def set_password(self, user: Any, password: str) -> None:
        """Change a password, and say so in the log."""
        operations.record_password_change(user=user, now=clock.now())
        user.set_password(password)
        # All that the web's login may write of a person.
        user.save(update_fields=["password"])

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Log that somebody was refused; the address she tried is erasable detail."""
        super().authentication_failed(request, **credentials)
        self._refused(request, tried=credentials.get("email"), reason="wrong_credentials")

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        """Refuse whose account is closed, though the password is right, and log it."""
        self._refused(request, tried=user.email, reason="inactive")
        response: HttpResponse = super().respond_user_inactive(request, user)
        return response

    def _refused(self, request: HttpRequest, *, tried: object, reason: str) -> None:
        operations.record_refused_sign_in(
            tried=str(tried or ""),
            address=self.get_client_ip(request) or "",
            reason=reason,
            now=clock.now(),
        )
