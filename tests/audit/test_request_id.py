"""One id of our own for each request, whatever the client says."""

from __future__ import annotations

from uuid import UUID, uuid4

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from audit import request_id
from audit.middleware import HEADER, RequestIdMiddleware


def say_the_id(request: HttpRequest) -> HttpResponse:
    assert request.META["HTTP_X_REQUEST_ID"] == request_id.current()
    return HttpResponse(request_id.current())


class TestRequestIdMiddleware:
    def test_gives_each_request_its_own_and_tells_it(self):
        answer = RequestIdMiddleware(say_the_id)
        request = RequestFactory().get("/", headers={HEADER: "matti"})

        first, second = answer(request), answer(request)

        assert isinstance(first, HttpResponse)
        assert isinstance(second, HttpResponse)
        assert UUID(first.content.decode()) == UUID(first.headers[HEADER])
        assert first.content != second.content
        assert request_id.current() is None

    def test_does_so_for_asynchronous_views(self):
        async def view(request: HttpRequest) -> HttpResponse:
            return say_the_id(request)

        async def ask() -> HttpResponse:
            answer = RequestIdMiddleware(view)(RequestFactory().get("/"))
            assert not isinstance(answer, HttpResponse)
            return await answer  # type: ignore[misc, return-value]

        answered = async_to_sync(ask)()

        assert answered.content.decode() == answered.headers[HEADER]


class TestBound:
    def test_gives_way_to_the_one_inside(self):
        outer, inner = uuid4(), uuid4()

        with request_id.bound(outer):
            with request_id.bound(inner):
                assert request_id.current() == str(inner)
            assert request_id.current() == str(outer)
