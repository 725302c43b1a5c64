"""Sends long answers in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse


def send_file(
    request: HttpRequest, pieces: Iterator[bytes], *, content_type: str, file_name: str
) -> StreamingHttpResponse:
    """Send a file to be saved under that name, each piece when it is asked for."""
    # Under ASGI Django would gather a plain iterator whole before it sends anything.
    streamed = _in_thread(pieces) if isinstance(request, ASGIRequest) else pieces
    answer = StreamingHttpResponse(streamed, content_type=content_type)
    answer.headers["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return answer


async def _in_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    def following() -> bytes | None:
        return next(pieces, None)

    while (piece := await sync_to_async(following)()) is not None:
        yield piece
