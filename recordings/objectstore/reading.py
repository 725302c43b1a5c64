"""Reads a range of an object without blocking: opened first, streamed afterwards."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import aiohttp
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from yarl import URL

from recordings.objectstore.errors import StoreRefused, StoreUnavailable, from_answer, translate
from recordings.objectstore.identity import CONNECT_SECONDS, READ_SECONDS, Identity

CHUNK_BYTES = 64 * 1024
# What waits in memory for each listener who reads slowly: twice this at most.
BUFFER_BYTES = 128 * 1024
CONNECTIONS = 256
_CODE = re.compile(rb"<Code>(\w+)</Code>")

# A session belongs to the event loop (and process) it was made in.
_sessions: dict[tuple[int, asyncio.AbstractEventLoop], aiohttp.ClientSession] = {}


class OpenedRange:
    """The answer of a store that has begun to send; iterate over it once, or close it."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """
        The stored bytes of the range, at most CHUNK_BYTES at a time.

        Raises StoreUnavailable if the store stops before the end.
        """
        try:
            async for chunk in self._answer.content.iter_chunked(CHUNK_BYTES):
                yield chunk
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise StoreUnavailable from error
        finally:
            self.close()

    async def read(self) -> bytes:
        """All stored bytes of the range. Raises StoreUnavailable."""
        return b"".join([chunk async for chunk in self])

    def close(self) -> None:
        """Give the connection back, or end it if not everything was read."""
        self._answer.close() if not self._answer.content.at_eof() else self._answer.release()


async def open_range(
    identity: Identity, *, key: str, version_id: str, first: int, last: int
) -> OpenedRange:
    """
    Ask for stored bytes `first` to `last`, both included, and wait until they begin to come.

    Raises ObjectMissing, StoreRefused, StoreUnavailable before any byte is given out.
    """
    url = URL(
        f"{identity.endpoint_url.rstrip('/')}/{identity.bucket}/{quote(key)}"
        f"?versionId={quote(version_id, safe='')}",
        encoded=True,
    )
    headers = _signed(identity, str(url), byte_range=f"bytes={first}-{last}")
    try:
        answer = await _session().get(url, headers=headers, allow_redirects=False)
        if answer.status == 206:
            return OpenedRange(answer)
        body = await answer.read()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise translate(error) from error
    if answer.status == 200:
        raise StoreRefused("The object store does not give out ranges.")
    found = _CODE.search(body)
    raise from_answer(answer.status, found[1].decode() if found else "")


async def close_sessions() -> None:
    """Close the connections of the running event loop; the next reader opens new ones."""
    session = _sessions.pop((os.getpid(), asyncio.get_running_loop()), None)
    if session is not None:
        await session.close()


def _signed(identity: Identity, url: str, *, byte_range: str) -> dict[str, str]:
    request = AWSRequest(method="GET", url=url, headers={"Range": byte_range})
    credentials = Credentials(identity.access_key, identity.secret_key)
    S3SigV4Auth(credentials, "s3", identity.region).add_auth(request)
    return dict(request.headers.items())


def _session() -> aiohttp.ClientSession:
    place = (os.getpid(), asyncio.get_running_loop())
    if place not in _sessions:
        for old in [old for old in _sessions if old[1].is_closed()]:
            _sessions.pop(old).detach()
        _sessions[place] = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS),
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            read_bufsize=BUFFER_BYTES,
            auto_decompress=False,
        )
    return _sessions[place]
