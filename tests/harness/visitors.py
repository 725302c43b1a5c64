"""People at their browsers: requests that the web process answers, with the web's rights only."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from asgiref.sync import async_to_sync
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import AsyncClient, Client
from django.urls import reverse

from accounts.models import User
from recordings.objectstore.reading import close_sessions
from tests.harness.roles import Stage

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer to one request."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@dataclass(slots=True)
class Visitor:
    """One person's browser; nobody is signed in when `user` is None."""

    stage: Stage
    user: User | None = None
    client: Client = field(default_factory=Client)

    def __post_init__(self) -> None:
        if self.user is not None:
            with self.stage.acting_as("web"):
                self.client.force_login(self.user, backend=BACKEND)

    def get(self, path: str, data: dict[str, Any] | None = None, **extra: Any) -> Answer:
        """Ask for a page."""
        with self.stage.acting_as("web"):
            return _whole(self.client.get(path, data, **extra))

    def post(self, path: str, data: dict[str, Any] | None = None, **extra: Any) -> Answer:
        """Send a form."""
        with self.stage.acting_as("web"):
            return _whole(self.client.post(path, data or {}, **extra))

    def fetch(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        """Ask as through ASGI, and read what is streamed to its end."""
        asynchronous = AsyncClient()
        asynchronous.cookies = self.client.cookies

        async def whole() -> Answer:
            try:
                response = await asynchronous.generic(method, path, headers=headers)
                content = response.streaming_content if response.streaming else None
                if isinstance(content, AsyncIterable):
                    body = b"".join([piece async for piece in content])
                    return Answer(response.status_code, body, dict(response.headers))
                return _whole(response)
            finally:
                await close_sessions()

        with self.stage.acting_as("web"):
            return async_to_sync(whole)()

    def listen(
        self,
        dialog_id: UUID,
        *,
        purpose: str = "coaching",
        play_id: UUID | None = None,
        bytes_range: str | None = "bytes=0-",
    ) -> Answer:
        """Ask for a range of a recording, as the player does."""
        path = reverse("recordings:sound", args=[dialog_id])
        headers = {"Range": bytes_range} if bytes_range else {}
        return self.fetch(f"{path}?purpose={purpose}&play={play_id or uuid4()}", **headers)


def _whole(response: HttpResponseBase) -> Answer:
    if isinstance(response, StreamingHttpResponse):
        body = b"".join(response)
    else:
        assert isinstance(response, HttpResponse)
        body = response.content
    return Answer(response.status_code, body, dict(response.headers))
