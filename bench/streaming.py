"""Play through the web server, checked, logged and decrypted, compared with bare S3 gets."""

from __future__ import annotations

import asyncio
import io
import secrets
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from statistics import median
from uuid import uuid4

import aiohttp
from django.conf import settings
from django.test import Client
from django.urls import reverse
from yarl import URL

from accounts.models import Source
from audit import clock
from audit.events import EventType
from audit.models import Event
from bench.centre import Centre
from bench.measuring import Line, Scale, compared, require_same, take_turns
from recordings.formats.incoming import (
    IncomingConversation,
    IncomingFile,
    IncomingSegment,
)
from recordings.keyring import FileKeyring
from recordings.models import Conversation
from recordings.objectstore import ObjectStore
from recordings.operations.capture import capture

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
WAV_BYTES = 5 * 1024 * 1024
RATE = 8000
RANGE_BYTES = 1024 * 1024
LISTENERS = (8, 32)
# How often each listener plays the recording from beginning to end in one round.
PLAYS = {Scale.SMALL: 1, Scale.FULL: 3}
FIRST_BYTES = {Scale.SMALL: 20, Scale.FULL: 60}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the same bytes can be had: an address for each play, and the cookies it needs."""

    address: Callable[[], URL]
    cookies: dict[str, str]


def measure(centre: Centre, scale: Scale) -> Iterator[Line]:
    """Measure MB/s for many listeners at once, and the time to the first byte for one."""
    body = noise()
    with centre.stage.acting_as("work"):
        conversation = captured(centre, body)
        stored = Place(_put(centre, body), {})
    with centre.stage.acting_as("web"):
        client = Client()
        client.force_login(centre.reader_of_five, backend=BACKEND)
        cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    with centre.stage.web() as web:
        address = f"{web}{reverse('recordings:sound', args=[conversation.dialogs.get().pk])}"
        played = Place(lambda: URL(address).with_query(play=str(uuid4())), cookies)
        for place in (played, stored):
            require_same(asyncio.run(_play(place)), body, "What is heard")
        for listeners in LISTENERS:
            heard_before = _ranges_logged()
            rates = take_turns(
                *(
                    partial(_megabytes_a_second, place, listeners, PLAYS[scale])
                    for place in (played, stored)
                )
            )
            ranges = len(rates[0]) * listeners * PLAYS[scale] * len(_ranges())
            require_same(_ranges_logged() - heard_before, ranges, "Ranges in the audit log")
            suffix = "" if listeners == max(LISTENERS) else f"_{listeners}"
            yield compared(f"stream_vs_store{suffix}", "MB/s", *rates)
        firsts = take_turns(
            *(partial(_first_byte_ms, place, FIRST_BYTES[scale]) for place in (played, stored))
        )
        yield compared("first_byte_vs_store", "ms", *firsts)


def noise() -> bytes:
    """A WAV file of noise: nothing on the way can make it smaller."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(secrets.token_bytes(WAV_BYTES - 44))
    return out.getvalue()


def captured(centre: Centre, body: bytes) -> Conversation:
    """Capture a call of that sound for the first of the five teams, as the worker."""
    ended_at = clock.now() - timedelta(hours=1)
    started_at = ended_at - timedelta(seconds=len(body) / RATE / 4)
    team = centre.five_teams[0]
    done = capture(
        incoming=IncomingConversation(
            external_id=f"call-{uuid4()}",
            kind="call",
            started_at=started_at,
            ended_at=ended_at,
            segments=(IncomingSegment(started_at, ended_at, team.slug, None, None),),
            files=(IncomingFile(path=None, body=body, name="call.wav", started_at=started_at),),
        ),
        source=Source.objects.select_related("controller").get(pk=centre.source.pk),
        store=ObjectStore.for_content(),
        keyring=FileKeyring.from_settings(),
        now=clock.now(),
    )
    return Conversation.objects.get(pk=done.conversation_id)


def _put(centre: Centre, body: bytes) -> Callable[[], URL]:
    """Store the bare bytes in the same bucket, and give the address to get them at."""
    s3 = centre.stage.servers.s3("content")
    bucket, key = settings.S3_CONTENT_BUCKET, f"{clock.now():%Y/%m/%d}/{uuid4()}"
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    place = {"Bucket": bucket, "Key": key}
    signed = URL(s3.generate_presigned_url("get_object", Params=place), encoded=True)
    return lambda: signed


def _ranges() -> list[str]:
    return [
        f"bytes={first}-{min(first + RANGE_BYTES, WAV_BYTES) - 1}"
        for first in range(0, WAV_BYTES, RANGE_BYTES)
    ]


def _ranges_logged() -> int:
    return Event.objects.filter(event_type=EventType.DIALOG_PLAYED, outcome="allow").count()


def _session(place: Place) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        cookies=place.cookies,
        cookie_jar=aiohttp.CookieJar(unsafe=True),
        connector=aiohttp.TCPConnector(limit=0),
        auto_decompress=False,
    )


async def _play(place: Place) -> bytes:
    async with _session(place) as session:
        return b"".join([await _read(session, place, each) for each in _ranges()])


async def _read(session: aiohttp.ClientSession, place: Place, byte_range: str) -> bytes:
    async with session.get(place.address(), headers={"Range": byte_range}) as answer:
        require_same(answer.status, 206, "The answer to a range")
        return await answer.read()


def _megabytes_a_second(place: Place, listeners: int, plays: int, _round: int) -> float:
    async def listen(session: aiohttp.ClientSession) -> int:
        return sum(
            [len(await _read(session, place, each)) for _ in range(plays) for each in _ranges()]
        )

    async def listen_all() -> float:
        async with _session(place) as session:
            began = time.perf_counter()
            heard = await asyncio.gather(*(listen(session) for _ in range(listeners)))
            took = time.perf_counter() - began
        require_same(sum(heard), listeners * plays * WAV_BYTES, "Bytes heard")
        return sum(heard) / 1e6 / took

    return asyncio.run(listen_all())


def _first_byte_ms(place: Place, times: int, _round: int) -> float:
    async def first_bytes() -> list[float]:
        found = []
        async with _session(place) as session:
            for _ in range(times):
                began = time.perf_counter()
                headers = {"Range": _ranges()[0]}
                async with session.get(place.address(), headers=headers) as answer:
                    await answer.content.readany()
                    found.append(1000 * (time.perf_counter() - began))
                    await answer.read()
        return found

    return median(asyncio.run(first_bytes()))
