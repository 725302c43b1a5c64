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
from bench import claiming, erasing, naive
from bench.auditing import sealer_of
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
# Once so many, and then so many more: memory may not follow.
MEMORY_CONVERSATIONS = {Scale.SMALL: (500, 2_000), Scale.FULL: (10_000, 100_000)}
MOST_MEGABYTES = 50
# Its second of rest is not what is measured here.
SEAL_EVERY_SECONDS = "0.2"
LOOK_EVERY_SECONDS = 0.05
KEPT_CONNECTIONS = 1_000
WORKERS = 2
PATIENCE_SECONDS = 600
ROOT = Path(__file__).resolve().parents[1]


def measure(centre: Centre, scale: Scale) -> Iterator[Line]:
    """Measure conversations a second, certificate included, against each of the others."""
    count = CONVERSATIONS[scale]
    with (
        override_settings(PURGE_BRAKE_MINIMUM=10**9),
        sealer_of(centre, AUDIT_SEAL_INTERVAL_SECONDS=SEAL_EVERY_SECONDS),
    ):
        ours = partial(_purge_rate, centre, count)
        whole, bare = take_turns(ours, partial(_bare_rate, centre, count))
        yield compared("purge_vs_store", "conversations/s", whole, bare)
        yield from _against_naive(centre, scale)
        one, two = take_turns(
            partial(_purge_rate, centre, count, workers=1),
            partial(_purge_rate, centre, count, workers=WORKERS),
        )
        yield compared("purge_2_workers_vs_1", "conversations/s", two, one)
        yield from _memory(centre, scale)


def measure_rows(centre: Centre, scale: Scale) -> Iterator[Line]:
    """Measure what the database alone does: withdraw and destroy keys, and claim."""
    count = CONVERSATIONS[scale]
    erased, plain = take_turns(
        partial(erasing.erase_rate, centre, count), partial(erasing.plain_rate, centre, count)
    )
    yield compared("erase_vs_rows", "conversations/s", erased, plain)
    yield claiming.claim(centre, scale)


def _against_naive(centre: Centre, scale: Scale) -> Iterator[Line]:
    with connection.cursor() as cursor:
        for statement in naive.TABLES:
            cursor.execute(statement)
    count = NAIVE_CONVERSATIONS[scale]
    mine, plain, tuned = take_turns(
        partial(_purge_rate, centre, CONVERSATIONS[scale]),
        partial(_naive_rate, centre, count, 0),
        partial(_naive_rate, centre, count, KEPT_CONNECTIONS),
    )
    yield compared("purge_vs_naive", "conversations/s", mine, plain)
    yield compared("purge_vs_naive_tuned", "conversations/s", mine, tuned)


def _memory(centre: Centre, scale: Scale) -> Iterator[Line]:
    """Purge many times more, once: at what rate, and how much more memory that takes."""
    few, many = MEMORY_CONVERSATIONS[scale]
    _peak_megabytes()
    _purge_rate(centre, few, 0)
    with_few = _peak_megabytes()
    rate = _purge_rate(centre, many, 0)
    with_many = _peak_megabytes()
    yield Line("purge_rate_100k", rate, "conversations/s")
    yield Line("purge_memory_100k_vs_10k", with_many, "MB", with_few, with_many / with_few)
    if with_many - with_few > MOST_MEGABYTES:
        raise WrongAnswer(f"Memory grew by {with_many - with_few:.0f} MB.")


def _peak_megabytes() -> float:
    """Give the most memory this process had since it was last asked."""
    status = Path("/proc/self/status").read_text()
    (line,) = (each for each in status.splitlines() if each.startswith("VmHWM"))
    Path("/proc/self/clear_refs").write_text("5")
    return int(line.split()[1]) / 1024


def _purge_rate(centre: Centre, count: int, _round: int, *, workers: int = 0) -> float:
    due = make_due(centre, count)
    return count / _purged(centre, due, workers)


def _purged(centre: Centre, due: Due, workers: int) -> float:
    """
    Purge and certify while the sealer runs beside; gives the seconds it took.

    With `workers` by the command, whose start counts.
    """
    require_same(_events(due), 0, "Events before")
    certificates_before = Certificate.objects.count()
    with centre.stage.acting_as("purge"):
        began = time.perf_counter()
        if not workers:
            purge(content=ObjectStore.for_purge(), anchor=ObjectStore.for_anchor(), clock=clock.now)
        else:
            _by_command(centre, workers)
    while Destruction.objects.uncertified().exists() or (
        Certificate.objects.filter(seal=None).exists()
    ):
        certificates.issue_due(now=clock.now())
        time.sleep(LOOK_EVERY_SECONDS)
    took = time.perf_counter() - began
    require_gone(due)
    require_same(left_in_store(centre, [key for key, _ in due.objects]), 0, "Versions left")
    require_same(_events(due), len(due.ids), "Events of destruction")
    lines = Destruction.objects.filter(conversation__in=due.ids, certificate__isnull=False)
    require_same(lines.count(), len(due.ids), "Lines of certificates")
    if Certificate.objects.count() == certificates_before:
        raise WrongAnswer("There is no certificate.")
    return took


def _by_command(centre: Centre, workers: int) -> None:
    told = {
        **os.environ,
        **centre.stage.environment("purge"),
        "PURGE_BRAKE_MINIMUM": str(10**9),
    }
    subprocess.run(
        [sys.executable, "manage.py", "purge", "--json", f"--workers={workers}"],
        cwd=ROOT,
        env=told,
        stdout=subprocess.DEVNULL,
        check=True,
    )


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
                f"INSERT INTO naive_{table} SELECT * FROM recordings_{table} WHERE {by} = ANY(%s)",
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
