"""Writers side by side in a process of their own; imports nothing of the product."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg

BODY = (
    '{{"act":{{"ref":"a11ce000-0000-4000-8000-000000000001","role":"coach","t":"user"}},'
    '"bas":"team_permission:0192b0a0-0000-7000-8000-00000000000a","id":"{id}",'
    '"obj":{{"ref":"0192b0a0-0000-7000-8000-00000000000b","t":"dialog"}},"op":"dialog.played",'
    '"out":"allow","pur":"coaching","req":{{"id":"9f2c77d0a1b2c3d4"}},'
    '"sub":"0192b0a0-0000-7000-8000-00000000000c","ts":"{ts}","v":1,'
    '"x":{{"conversation":"0192b0a0-0000-7000-8000-00000000000d","first_byte":0,'
    '"last_byte":1048575,"play":"0192b0a0-0000-7000-8000-00000000000e"}}}}'
)


def write(work: tuple[str, str, str, int, float]) -> float:
    """Insert events, each in a transaction of its own; gives how many a second all made."""
    url, statement, log, writers, duration_seconds = work

    def insert(_number: int) -> float:
        done = 0
        with psycopg.connect(url, autocommit=True) as writer:
            writer.execute(statement, [log, _body()])
            began = time.perf_counter()
            while time.perf_counter() - began < duration_seconds:
                writer.execute(statement, [log, _body()])
                done += 1
            return done / (time.perf_counter() - began)

    with ThreadPoolExecutor(writers) as threads:
        return sum(threads.map(insert, range(writers)))


def _body() -> str:
    return BODY.format(id=uuid4(), ts="2026-05-10T12:00:00.000000Z")
