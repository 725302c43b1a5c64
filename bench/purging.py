"""The purge, whole: against bare deletion, and against one task for each conversation."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection
from django.test import override_settings

from audit import clock
from audit.models import Event
from audit.operations.sealing import Sealer, introduce_key
from bench import naive
from bench.auditing import SEAL_BATCH, keys_of
from bench.centre import Centre
from bench.due import Due, left_in_store, make_due, put_objects, require_gone
from bench.measuring import Line, Scale, WrongAnswer, compared, require_same, seconds, take_turns
from recordings.objectstore import ObjectStore
from recordings.objectstore.store import DELETE_BATCH
from retention.models import Certificate, Destruction
from retention.operations import certificates
from retention.operations.purge.run import purge

CONVERSATIONS = {Scale.SMALL: 1_000, Scale.FULL: 5_000}
NAIVE_CONVERSATIONS = {Scale.SMALL: 200, Scale.FULL: 1_000}
NAIVE_WORKERS = 2
KEPT_CONNECTIONS = 1_000
WORKERS = 2
PATIENCE_SECONDS = 600
ROOT = Path(__file__).resolve().parents[1]


def measure(centre: Centre, scale: Scale) -> Iterator[Line]:
    """Measure conversations a second, certificate included, against each of the others."""
    with override_settings(PURGE_BRAKE_MINIMUM=10**9):
        sealer = Sealer(keys_of(centre))
        introduce_key(keys=keys_of(centre), now=clock.now())
        ours = partial(_purge_rate, centre, sealer, CONVERSATIONS[scale])
        yield compared(
            "purge_vs_store",
            "conversations/s",
            *take_turns(ours, partial(_bare_rate, centre, CONVERSATIONS[scale])),
        )
        yield from _against_naive(centre, sealer, scale)


def _against_naive(centre: Centre, sealer: Sealer, scale: Scale) -> Iterator[Line]:
    with connection.cursor() as cursor:
        for statement in naive.TABLES:
            cursor.execute(statement)
    ours = partial(_purge_rate, centre, sealer, CONVERSATIONS[scale])
    count = NAIVE_CONVERSATIONS[scale]
    mine, plain, tuned = take_turns(
        ours,
        partial(_naive_rate, centre, count, 0),
        partial(_naive_rate, centre, count, KEPT_CONNECTIONS),
    )
    yield compared("purge_vs_naive", "conversations/s", mine, plain)
    yield compared("purge_vs_naive_tuned", "conversations/s", mine, tuned)


def _purge_rate(centre: Centre, sealer: Sealer, count: int, _round: int) -> float:
    due = make_due(centre, count)
    return count / _purged(centre, sealer, due)


def _purged(centre: Centre, sealer: Sealer, due: Due) -> float:
    """Purge, seal and certify; gives the seconds it took."""
    log = str(centre.controller.pk)
    events, lines = _events(due), Certificate.objects.count()
    require_same(events, 0, "Events before")
    began = time.perf_counter()
    with centre.stage.acting_as("purge"):
        purge(content=ObjectStore.for_purge(), anchor=ObjectStore.for_anchor(), clock=clock.now)
    purged = time.perf_counter()
    while Certificate.objects.filter(seal=None).exists() or (
        Destruction.objects.uncertified().exists()
    ):
        while sealer.seal(log=log, now=clock.now(), limit=SEAL_BATCH):
            pass
        certificates.issue_due(now=clock.now())
    took = time.perf_counter() - began
    if os.environ.get("TELL"):
        print(f"purge {purged - began:.2f} cert {took - purged + began:.2f}", file=sys.stderr)
    require_gone(due)
    require_same(left_in_store(centre, [key for key, _ in due.objects]), 0, "Versions left")
    require_same(_events(due), len(due.ids), "Events of destruction")
    require_same(Certificate.objects.count(), lines + 1, "Certificates")
    return took


def _events(due: Due) -> int:
    return Event.objects.filter(
        event_type="conversation.destroyed", conversation__in=due.ids
    ).count()


def _bare_rate(centre: Centre, count: int, _round: int) -> float:
    """DeleteObjects by version id, 1000 a call, by the client of an application that does it."""
    due = put_objects(centre, count)
    s3, bucket = centre.stage.servers.s3("purge"), settings.S3_CONTENT_BUCKET

    def delete() -> None:
        for start in range(0, count, DELETE_BATCH):
            answer = s3.delete_objects(
                Bucket=bucket,
                Delete={
                    "Objects": [
                        {"Key": key, "VersionId": version}
                        for key, version in due.objects[start : start + DELETE_BATCH]
                    ]
                },
            )
            require_same(answer.get("Errors", []), [], "Errors of the store")

    took = seconds(delete)
    require_same(left_in_store(centre, [key for key, _ in due.objects]), 0, "Versions left")
    return count / took


def _naive_rate(centre: Centre, count: int, reuse: int, _round: int) -> float:
    due = make_due(centre, count)
    _move_to_naive_tables(due)
    queue = f"naive-{uuid4().hex}"
    with _naive_worker(centre, queue, reuse):
        began = time.perf_counter()
        for pk in due.ids:
            naive.destroy.apply_async((str(pk),), queue=queue)
        _wait(lambda: _naive_events(due.ids) == count, "The naive tasks do not come to an end.")
        took = time.perf_counter() - began
    require_same(left_in_store(centre, [key for key, _ in due.objects]), 0, "Versions left")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM naive_conversation")
        require_same(cursor.fetchone()[0], 0, "Rows left")
    return count / took


def _move_to_naive_tables(due: Due) -> None:
    """Copy the rows to the naive tables, and take them from what is due."""
    with connection.cursor() as cursor:
        for table in ("conversation", *naive.PARTS):
            by = {"conversation": "id", "rendition": "dialog_id"}.get(table, "conversation_id")
            ids = [UUID(key.rsplit("/", 1)[1]) for key, _ in due.objects]
            cursor.execute(
                f"INSERT INTO naive_{table} SELECT * FROM recordings_{table} WHERE {by} = ANY(%s)",  # noqa: S608
                [ids if table == "rendition" else due.ids],
            )
        cursor.execute(
            "UPDATE recordings_conversation SET destroy_after = NULL WHERE id = ANY(%s)", [due.ids]
        )


@contextmanager
def _naive_worker(centre: Centre, queue: str, reuse: int) -> Iterator[None]:
    """Have one worker of two processes on a queue that nobody else listens to."""
    told = {
        **os.environ,
        **centre.stage.environment("purge"),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "NAIVE_QUEUE": queue,
        "NAIVE_REUSE": str(reuse),
    }
    command = [
        *(sys.executable, "-m", "celery", "--app=bench.naive", "worker"),
        *(f"--queues={queue}", f"--hostname={queue}@%h", f"--concurrency={NAIVE_WORKERS}"),
        *("--loglevel=WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, env=told, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(_workers, "The naive worker does not start.")
        require_same(_workers(), 1, "Workers at the queue")
        yield
    finally:
        process.terminate()
        process.wait(60)


def _workers() -> int:
    return len(naive.app.control.ping(timeout=1.0) or [])


def _naive_events(ids: Sequence[UUID]) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM naive_event WHERE conversation = ANY(%s)", [list(ids)])
        return int(cursor.fetchone()[0])


def _wait(is_so: Callable[[], object], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise WrongAnswer(otherwise)
        time.sleep(0.05)
