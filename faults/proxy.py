"""A proxy on loopback before the object store, which fails, delays, drops, lies and garbles."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from xml.sax.saxutils import escape

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

SLOW_SECONDS = 1.5
CHUNK_BYTES = 64 * 1024
# What concerns one connection and is not passed on.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "content-length"}
_OBJECT = re.compile(rb"<Object>.*?</Object>", re.DOTALL)
_KEY = re.compile(rb"<Key>(.*?)</Key>")
_VERSION = re.compile(rb"<VersionId>(.*?)</VersionId>")


class Way(Enum):
    """What becomes of one call."""

    INTERNAL_ERROR = 500
    SLOW_DOWN = 503
    DELAY = "delay"
    HANG = "hang"  # neither done nor answered
    DROP = "drop"  # not done, and the connection closed
    LOSE = "lose"  # done, and its answer lost
    LIE = "lie"  # answered as if done
    TRUNCATE = "truncate"  # its answer ends in the middle
    CORRUPT = "corrupt"  # a bit of its answer is another


@dataclass(frozen=True, slots=True)
class Asked:
    """One call as it arrives: which operation of S3, of what, and how often it was asked before."""

    operation: str
    path: str
    body: bytes = field(repr=False)
    before: int


# Says what becomes of a call; None: it is passed on as it is.
Plan = Callable[[Asked], Way | None]


@dataclass(slots=True)
class Proxy:
    """The proxy, running; what it is to do can be changed while it does."""

    upstream: str
    plan: Plan = lambda _asked: None
    url: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    faults: Counter[Way] = field(default_factory=Counter)
    # How often the same was asked in the same words.
    repeated: Counter[tuple[str, str, bytes]] = field(default_factory=Counter)
    _session: aiohttp.ClientSession | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Do with a call what the plan says."""
        body = await request.read()
        operation = _operation(request)
        asked = Asked(operation, request.raw_path, body, self.calls[operation])
        self.calls[operation] += 1
        self.repeated[operation, request.raw_path, body] += 1
        way = self.plan(asked)
        if way is not None:
            self.faults[way] += 1
        if way in {Way.INTERNAL_ERROR, Way.SLOW_DOWN}:
            code = "InternalError" if way is Way.INTERNAL_ERROR else "SlowDown"
            return web.Response(
                status=way.value,
                body=f"<Error><Code>{code}</Code></Error>",
                content_type="application/xml",
            )
        if way is Way.DROP:
            return _aborted(request)
        if way is Way.HANG:
            await asyncio.sleep(3600)
        if way is Way.LIE:
            return _lie(asked)
        if way is Way.DELAY:
            await asyncio.sleep(SLOW_SECONDS)
        return await self._pass_on(request, body, way)

    async def _pass_on(
        self, request: web.Request, body: bytes, way: Way | None
    ) -> web.StreamResponse:
        assert self._session
        headers = [(name, value) for name, value in request.headers.items() if _is_passed_on(name)]
        try:
            async with self._session.request(
                request.method,
                URL(self.upstream + request.raw_path, encoded=True),
                headers=headers,
                data=body or None,
                allow_redirects=False,
            ) as answer:
                content = await answer.read()
                kept = [
                    (name, value) for name, value in answer.headers.items() if _is_passed_on(name)
                ]
                length = answer.headers.get("Content-Length", str(len(content)))
                status = answer.status
        except aiohttp.ClientError:
            return _aborted(request)
        if way is Way.LOSE:
            return _aborted(request)
        if way is Way.CORRUPT and content:
            place = len(content) // 2
            content = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        if way is Way.TRUNCATE and content:
            return await _cut_short(request, status, kept, content)
        given = web.Response(status=status, headers=CIMultiDict(kept), body=content)
        if request.method == "HEAD":
            given.headers["Content-Length"] = length
        return given

    async def _serve(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        application = web.Application(client_max_size=2**30)
        application.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        (address,) = runner.addresses
        self.url = f"http://127.0.0.1:{address[1]}"
        async with aiohttp.ClientSession(
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=60),
            connector=aiohttp.TCPConnector(limit=64),
        ) as self._session:
            ready()
            await stop.wait()
            await runner.cleanup()


@contextmanager
def proxied(upstream: str) -> Iterator[Proxy]:
    """Run a proxy before that address while the context lasts."""
    proxy = Proxy(upstream)
    is_ready = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    def run() -> None:
        loop.run_until_complete(proxy._serve(stop, is_ready.set))
        # Calls that hang still.
        left = asyncio.all_tasks(loop)
        for each in left:
            each.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=run, name="proxy", daemon=True)
    thread.start()
    assert is_ready.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)


def share(part: float, *ways: Way, chance: Any, only: frozenset[str] | None = None) -> Plan:
    """Let a share of the calls (of those operations) go one of these ways."""

    def plan(asked: Asked) -> Way | None:
        if only is not None and asked.operation not in only:
            return None
        return chance.choice(ways) if chance.random() < part else None

    return plan


def first(way: Way, *operations: str, times: int = 1) -> Plan:
    """Let the first calls of each of these operations from now on go this way."""
    left = dict.fromkeys(operations, times)

    def plan(asked: Asked) -> Way | None:
        if left.get(asked.operation, 0) <= 0:
            return None
        left[asked.operation] -= 1
        return way

    return plan


def _operation(request: web.Request) -> str:
    query, method = request.query, request.method
    if method == "POST" and "delete" in query:
        return "DeleteObjects"
    if "versions" in query:
        return "ListObjectVersions"
    if "legal-hold" in query:
        return f"{method.title()}ObjectLegalHold"
    is_object = "/" in request.path.strip("/")
    return f"{method.title()}{'Object' if is_object else 'Bucket'}"


def _is_passed_on(name: str) -> bool:
    # The host too: the signature covers it as it was asked for.
    return name.lower() not in HOP_BY_HOP


def _lie(asked: Asked) -> web.Response:
    """Say that all of it was done."""
    if asked.operation != "DeleteObjects":
        return web.Response(status=200, headers={"x-amz-version-id": "0" * 32, "ETag": '"0"'})
    deleted = []
    for found in _OBJECT.findall(asked.body):
        key, version = _KEY.search(found), _VERSION.search(found)
        assert key
        assert version
        deleted.append(
            f"<Deleted><Key>{escape(key[1].decode())}</Key>"
            f"<VersionId>{escape(version[1].decode())}</VersionId></Deleted>"
        )
    return web.Response(
        body=f"<DeleteResult>{''.join(deleted)}</DeleteResult>", content_type="application/xml"
    )


async def _cut_short(
    request: web.Request, status: int, headers: list[tuple[str, str]], content: bytes
) -> web.StreamResponse:
    given = web.StreamResponse(status=status, headers=CIMultiDict(headers))
    given.content_length = len(content)
    await given.prepare(request)
    await given.write(content[: len(content) // 2])
    _aborted(request)
    return given


def _aborted(request: web.Request) -> web.StreamResponse:
    """End the connection without another byte; what is given reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
