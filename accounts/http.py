"""The request as our views see it, once the middleware has been through."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest

from accounts.models import User


class SignedInRequest(HttpRequest):
    """A request of a signed-in person; `arrived_at` is the database's time when it came."""

    user: User
    arrived_at: datetime
