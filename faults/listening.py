"""People listen while the audit log is taken away in every way: no byte leaves unlogged."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

import aiohttp
import psycopg
from django.db import connection
from django.test import Client
from django.urls import reverse
from yarl import URL

from audit.events import EventType
from audit.models import Event
from bench.centre import Centre
from bench.measuring import Scale
from bench.streaming import BACKEND, WAV_BYTES, captured, noise
from faults.outcome import Outcome

RANGES = {Scale.SMALL: 1_000, Scale.FULL: 10_000}
LISTENERS = 16
LONGEST_RANGE_BYTES = 65_536
ANSWER_SECONDS = 30
# A refusal has two seconds; what the web needs around them is not the log's.
REFUSED_SECONDS = 4.0
TAKEN_AWAY_SECONDS = (0.2, 3.0)
THERE_SECONDS = (0.5, 4.0)
RIGHT = "INSERT (log, about_conversation, body) ON audit_event"
DISK_FULL = """
CREATE FUNCTION bench_disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER bench_disk_full BEFORE INSERT ON audit_event
    FOR EACH ROW EXECUTE FUNCTION bench_disk_full()
"""
DISK_FREE = "DROP TRIGGER bench_disk_full ON audit_event; DROP FUNCTION bench_disk_full()"


@dataclass(slots=True)
class Heard:
    """What one request for a range was given."""

    play: str
    first: int
    received: int = 0
    status: int = 0  # 0: the connection broke before there was one
    seconds: float = 0.0


@dataclass(slots=True)
class Chaos:
    """Takes the log away from the web again and again, in another way each time."""

    url: str
    stop: threading.Event = field(default_factory=threading.Event)
    done: Counter[str] = field(default_factory=Counter)

    def go_on(self) -> None:
        """Do so until it is stopped."""
        chance = random.Random(11)
        ways = [self._revoked, self._locked, self._disk_full, self._crashed]
        while not self.stop.wait(chance.uniform(*THERE_SECONDS)):
            way = ways[sum(self.done.values()) % len(ways)]
            # A crash ends our own session too.
            with suppress(psycopg.OperationalError):
                way(chance.uniform(*TAKEN_AWAY_SECONDS))
            self.done[way.__name__.strip("_")] += 1

    def session(self) -> psycopg.Connection:
        """Open one as the owner, as soon as the database has recovered."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                return psycopg.connect(self.url, autocommit=True)
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _revoked(self, seconds: float) -> None:
        with self.session() as owner:
            owner.execute(f"REVOKE {RIGHT} FROM tallenne_web")
            self.stop.wait(seconds)
            owner.execute(f"GRANT {RIGHT} TO tallenne_web")

    def _locked(self, seconds: float) -> None:
        with self.session() as owner, owner.transaction():
            owner.execute("LOCK TABLE audit_event IN ACCESS EXCLUSIVE MODE")
            self.stop.wait(seconds)

    def _disk_full(self, seconds: float) -> None:
        with self.session() as owner:
            owner.execute(DISK_FULL)
            self.stop.wait(seconds)
            owner.execute(DISK_FREE)

    def _crashed(self, _seconds: float) -> None:
        """Kill a session's process: PostgreSQL then ends all others, and recovers."""
        with self.session() as owner:
            (pid,) = owner.execute("SELECT pg_backend_pid()").fetchone() or (0,)
            os.kill(pid, signal.SIGKILL)


def run(centre: Centre, scale: Scale) -> Iterator[Outcome]:
    """Listen to so many ranges; afterwards compare what was heard with what was logged."""
    with centre.stage.acting_as("work"):
        conversation = captured(centre, noise())
    with centre.stage.acting_as("web"):
        client = Client()
        client.force_login(centre.reader_of_five, backend=BACKEND)
        cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    chaos = Chaos(centre.stage.environment("owner")["DATABASE_URL"])
    thread = threading.Thread(target=chaos.go_on)
    with centre.stage.web() as web:
        address = URL(f"{web}{reverse('recordings:sound', args=[conversation.dialogs.get().pk])}")
        thread.start()
        try:
            heard = asyncio.run(_listen(address, cookies, RANGES[scale]))
        finally:
            chaos.stop.set()
            thread.join()
    chaos.session().close()
    connection.close()
    yield _compared(heard, chaos.done)


async def _listen(address: URL, cookies: dict[str, str], ranges: int) -> list[Heard]:
    heard: list[Heard] = []
    chance = random.Random(12)

    async def listener(session: aiohttp.ClientSession) -> None:
        play = str(uuid4())
        while len(heard) < ranges:
            first = chance.randrange(WAV_BYTES)
            one = Heard(play, first)
            heard.append(one)
            await _ask(session, address, one, first + chance.randrange(LONGEST_RANGE_BYTES))

    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with aiohttp.ClientSession(
        cookies=cookies, cookie_jar=aiohttp.CookieJar(unsafe=True), timeout=timeout
    ) as session:
        await asyncio.gather(*(listener(session) for _ in range(LISTENERS)))
    return heard


async def _ask(session: aiohttp.ClientSession, address: URL, one: Heard, last: int) -> None:
    began = time.perf_counter()
    headers = {"Range": f"bytes={one.first}-{last}"}
    with suppress(aiohttp.ClientError, TimeoutError):
        async with session.get(address.with_query(play=one.play), headers=headers) as answer:
            one.status = answer.status
            async for piece in answer.content.iter_any():
                one.received += len(piece)
    one.seconds = time.perf_counter() - began


def _compared(heard: list[Heard], chaos: Counter[str]) -> Outcome:
    logged: dict[str, list[tuple[int, int]]] = {}
    for body in Event.objects.filter(
        event_type=EventType.DIALOG_PLAYED, outcome="allow"
    ).values_list("body", flat=True):
        facts = json.loads(body)["x"]
        logged.setdefault(facts["play"], []).append((facts["first_byte"], facts["last_byte"]))
    given = [one for one in heard if one.status in (200, 206) and one.received]
    unlogged = [
        one
        for one in given
        if not any(
            first <= one.first and one.first + one.received - 1 <= last
            for first, last in logged.get(one.play, [])
        )
    ]
    refused = [one for one in heard if one.status == 503]
    slowest = max((one.seconds for one in refused), default=0.0)
    statuses = Counter(one.status for one in heard)
    return Outcome(
        "listening_without_the_log",
        not unlogged and bool(given) and bool(refused) and slowest <= REFUSED_SECONDS,
        {
            "ranges": len(heard),
            "given": len(given),
            "bytes": sum(one.received for one in given),
            "bytes_without_event": sum(one.received for one in unlogged),
            "events": sum(map(len, logged.values())),
            "slowest_refusal_s": round(slowest, 2),
            **{f"answered_{status}": count for status, count in sorted(statuses.items())},
            **{f"log_{way}": count for way, count in sorted(chaos.items())},
        },
    )
