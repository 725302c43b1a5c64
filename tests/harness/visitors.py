"""People at their browsers: requests that the web process answers, with the web's rights only."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID, uuid4

from asgiref.sync import async_to_sync
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import reverse

from accounts.models import User
from tests.harness.roles import Stage

BACKEND = "accounts.backends.RoleBackend"
HOST = "localhost"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer to one request for bytes."""

    status: int
    body: bytes
    headers: dict[str, str]


@dataclass(slots=True)
class Visitor:
    """One person's browser; nobody is signed in when `user` is None."""

    stage: Stage
    user: User | None = None
    client: Client = field(default_factory=lambda: Client(SERVER_NAME=HOST))

    def __post_init__(self) -> None:
        if self.user is not None:
            with self.stage.acting_as("web"):
                self.client.force_login(self.user, backend=BACKEND)

    def get(self, path: str, data: dict[str, Any] | None = None, **extra: Any) -> HttpResponse:
        """Ask for a page."""
        with self.stage.acting_as("web"):
            return cast(HttpResponse, self.client.get(path, data, **extra))

    def post(self, path: str, data: dict[str, Any] | None = None, **extra: Any) -> HttpResponse:
        """Send a form."""
        with self.stage.acting_as("web"):
            return cast(HttpResponse, self.client.post(path, data or {}, **extra))

    def fetch(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        """Ask as through ASGI and read the answer to its end, streamed or not."""
        asynchronous = AsyncClient()
        asynchronous.cookies = self.client.cookies

        async def whole() -> Answer:
            response = await asynchronous.generic(
                method, path, headers={"Host": HOST, **headers}
            )
            if isinstance(response, StreamingHttpResponse):
                body = await _read(response.streaming_content)
            else:
                body = response.content
            return Answer(response.status_code, body, dict(response.headers))

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


async def _read(content: Iterable[bytes] | AsyncIterable[bytes]) -> bytes:
    if isinstance(content, AsyncIterable):
        return b"".join([piece async for piece in content])
    return b"".join(content)
