"""Gives each request an id of our own making, for its events and its log lines."""

from collections.abc import Awaitable, Callable
from typing import cast
from uuid import UUID, uuid4

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from audit import request_id

HEADER = "X-Request-ID"
_META_KEY = "HTTP_X_REQUEST_ID"


class RequestIdMiddleware:
    """
    Binds a fresh id to the request and answers with it in `X-Request-ID`.

    An id sent by the client is replaced, never trusted; django-structlog, placed after this
    middleware, finds ours in the request header and writes the same id into its lines.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], object]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer the request with the id bound; a coroutine where the next layer is one."""
        fresh_id = uuid4()
        request.META[_META_KEY] = str(fresh_id)
        if self.is_async:
            return self._answer_async(request, fresh_id)
        with request_id.bound(fresh_id):
            response = cast(HttpResponseBase, self.get_response(request))
        response.headers[HEADER] = str(fresh_id)
        return response

    async def _answer_async(self, request: HttpRequest, fresh_id: UUID) -> HttpResponseBase:
        with request_id.bound(fresh_id):
            response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        response.headers[HEADER] = str(fresh_id)
        return response
