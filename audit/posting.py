"""Sends something to a server outside, and gives up after a few seconds whatever it does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp

ANSWER_SECONDS = 5.0  # for all of it: whoever sends a byte a second gains no time
MOST_BYTES = 64 * 1024


class NoAnswer(Exception):
    """The server does not answer, or not in time, or says too much; it is tried again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    content_type: str
    body: bytes


def post(url: str, body: bytes, *, content_type: str) -> Answer:
    """Send a body by POST; redirects are not followed. Raises NoAnswer."""
    try:
        return asyncio.run(_post(url, body, content_type))
    except TimeoutError as error:
        raise NoAnswer(f"there was no answer within {ANSWER_SECONDS:g} seconds.") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NoAnswer(f"it cannot be reached ({type(error).__name__}).") from error


async def _post(url: str, body: bytes, content_type: str) -> Answer:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS)) as session,
        session.post(
            url, data=body, headers={"Content-Type": content_type}, allow_redirects=False
        ) as answer,
    ):
        content = bytearray()
        async for chunk in answer.content.iter_chunked(MOST_BYTES):
            content += chunk
            if len(content) > MOST_BYTES:
                raise NoAnswer("it said too much.")
        return Answer(answer.status, answer.content_type, bytes(content))
