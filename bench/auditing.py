"""The audit log: appending, sealing, exporting, verifying, and its page."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import psycopg
from django.db import connection

from audit import clock, proofs, queries, verify
from audit.bundles.building import Built
from audit.bundles.copies import Format
from audit.events import EventType, Target
from audit.merkle import leaf_hash
from audit.operations import append_alone
from audit.operations.exporting import to_folder
from audit.operations.sealing import Sealer, introduce_key
from audit.queries import Filter
from audit.sealing_keys import SealingKeys
from audit.verification.checking import verify_log
from bench import auditors
from bench.centre import ACTOR, Centre
from bench.events import make_events
from bench.measuring import Line, Scale, WrongAnswer, compared, require_same, seconds, take_turns
from bench.writers import write

LOG = "installation"
WRITERS = (1, 8, 32)
PROCESSES = 2
SECONDS_A_ROUND = {Scale.SMALL: 2.0, Scale.FULL: 5.0}
EVENTS = {Scale.SMALL: 100_000, Scale.FULL: 1_000_000}
PAGE_EVENTS = {Scale.SMALL: 200_000, Scale.FULL: 10_000_000}
PAGES = 30
SEAL_BATCH = 20_000
PLAIN = "CREATE TABLE bench_plain (log text, about_conversation boolean, body text)"
INSERTS = {
    "audit": "INSERT INTO audit_event (log, about_conversation, body) VALUES (%s, true, %s)",
    "plain": "INSERT INTO bench_plain (log, about_conversation, body) VALUES (%s, true, %s)",
}
LAG_WRITERS = 8
# From the insert of an event to the moment at which anybody could read the signature over it.
LAG = """
SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM s.at - e.recorded_at))
FROM unnest(%(sizes)s::bigint[], %(before)s::bigint[], %(seen)s::timestamptz[])
    AS s(size, before, at)
JOIN audit_leaf l ON l.log = %(log)s AND l.leaf_index >= s.before AND l.leaf_index < s.size
JOIN audit_event e ON e.id = l.event AND e.log = l.log
    AND e.about_conversation = l.about_conversation AND e.month = l.month
"""
LAG_POLL_SECONDS = 0.01


def measure(centre: Centre, scale: Scale) -> Iterator[Line]:
    """Measure appending against a plain INSERT, then everything on one long log."""
    with connection.cursor() as cursor:
        cursor.execute(PLAIN)
        cursor.execute("GRANT INSERT ON bench_plain TO tallenne_web")
    with sealer_of(centre):
        for writers in WRITERS:
            ours, plain = take_turns(
                *(
                    partial(_inserts_a_second, centre, kind, writers, SECONDS_A_ROUND[scale])
                    for kind in INSERTS
                )
            )
            yield compared(f"audit_append_vs_insert_{writers}", "events/s", ours, plain)
            _wait_until_sealed()
        (lags,) = take_turns(partial(_seal_lag, centre, SECONDS_A_ROUND[scale]))
        yield Line("audit_seal_lag_p99", median(lags), "s")
    yield from auditors.measure(centre, keys_of(centre), scale)
    yield from _long_log(centre, scale)


def measure_page(_centre: Centre, scale: Scale) -> Iterator[Line]:
    """Measure the newest 50 of a very long log: of all, of a person, about a conversation."""
    make_events(log=LOG, count=PAGE_EVENTS[scale])
    newest = queries.page(wanted=Filter(logs=[None]), rows=1).events[0]
    for name, wanted in {
        "everything": Filter(logs=[None]),
        "actor": Filter(logs=[None], actor=newest.actor),
        "target": Filter(logs=[None], about=newest.target),
        "conversation": Filter(logs=[None], about=str(newest.conversation)),
        "type": Filter(logs=[None], event_type=EventType(newest.event_type)),
    }.items():
        (found,) = take_turns(partial(_page_milliseconds, wanted))
        yield Line(f"audit_page_{name}", sorted(found)[len(found) // 2], "ms")


def _page_milliseconds(wanted: Filter, _round: int) -> float:
    def pages() -> None:
        for _ in range(PAGES):
            queries.page(wanted=wanted, rows=queries.PAGE_ROWS)

    return 1000 * seconds(pages) / PAGES


def _long_log(centre: Centre, scale: Scale) -> Iterator[Line]:
    count = EVENTS[scale]
    make_events(log=LOG, count=count)
    keys = keys_of(centre)
    introduce_key(keys=keys, now=clock.now())
    sealer = Sealer(keys)

    def seal() -> None:
        while sealer.seal(log=LOG, now=clock.now(), limit=SEAL_BATCH):
            pass

    spent = seconds(seal)
    copied = seconds(_copy_leaves)
    yield compared("audit_seal_rate", "events/s", [count / spent], [count / copied])
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) audit_leaf")
    with tempfile.TemporaryDirectory() as folder, sealer_of(centre):
        for form in Format:
            path = Path(folder) / form.value
            ours, bare = take_turns(
                partial(_export_rate, path, form), lambda _round: _copy_rate(), rounds=1
            )
            yield compared(f"audit_export_{form.value}_vs_copy", "events/s", ours, bare)
        yield _database_checked()
        yield from _verifying(Path(folder) / f"{Format.JSONL.value}-0")


def _seal_lag(centre: Centre, duration_seconds: float, _round: int) -> float:
    """Have LAG_WRITERS write, watch the heads as they come, and give the lag's 99th percentile."""
    heads: list[tuple[int, datetime]] = []
    over = threading.Event()

    def watch() -> None:
        with psycopg.connect(
            centre.stage.environment("owner")["DATABASE_URL"], autocommit=True
        ) as by:
            while not over.wait(LAG_POLL_SECONDS):
                (size, at) = by.execute(
                    "SELECT max(size), clock_timestamp() FROM audit_checkpoint WHERE log = %s",
                    [LOG],
                ).fetchone() or (0, None)
                if not heads or heads[-1][0] != size:
                    heads.append((size, at))

    with ThreadPoolExecutor(1) as beside:
        watching = beside.submit(watch)
        _inserts_a_second(centre, "audit", LAG_WRITERS, duration_seconds, 0)
        _wait_until_sealed()
        over.set()
        watching.result()
    with connection.cursor() as cursor:
        cursor.execute(
            LAG,
            {
                "log": LOG,
                "sizes": [size for size, _ in heads[1:]],
                "before": [size for size, _ in heads[:-1]],
                "seen": [at for _, at in heads[1:]],
            },
        )
        return float(cursor.fetchone()[0])


def _database_checked() -> Line:
    began = time.perf_counter()
    verdict = verify_log(log=LOG, now=clock.now(), reader=None)
    spent = time.perf_counter() - began
    require_same(verdict.faults, [], "Faults of the log")
    return Line("audit_verify_database", verdict.events / spent, "events/s")


def _verifying(path: Path) -> Iterator[Line]:
    keys = proofs.public_keys(log=LOG)
    lines = [
        line for part in sorted(path.glob("events/*.jsonl")) for line in part.read_bytes().split()
    ]

    def check(jobs: int, _round: int = 0) -> float:
        spent = seconds(lambda: verify.check_bundle(str(path), keys, jobs=jobs))
        return len(lines) / spent

    def hashes(_round: int) -> float:
        return len(lines) / seconds(lambda: [leaf_hash(line) for line in lines])

    one, two, bare = take_turns(partial(check, 1), partial(check, PROCESSES), hashes)
    yield compared("audit_verify_vs_hash", "events/s", one, bare)
    yield compared("audit_verify_2_processes_vs_hash", "events/s", two, bare)


def _export_rate(path: Path, form: Format, number: int) -> float:
    target = path.with_name(f"{path.name}-{number}")
    began = time.perf_counter()
    *_steps, built = to_folder(
        target=target,
        wanted=Filter(logs=[None]),
        form=form,
        actor=ACTOR,
        now=clock.now(),
    )
    spent = time.perf_counter() - began
    assert isinstance(built, Built)
    require_same(built.events, sum(1 for _ in _lines(target)), "Events of the bundle")
    return built.events / spent


def _lines(target: Path) -> Iterator[bytes]:
    for path in sorted(target.glob("events/*.jsonl")):
        yield from path.read_bytes().splitlines()


def _copy_rate() -> float:
    began, size, rows = time.perf_counter(), 0, 0
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY (SELECT * FROM audit_event WHERE log = 'installation') TO STDOUT"
        ) as copy,
    ):
        for piece in copy:
            size += len(piece)
            rows += bytes(piece).count(b"\n")
    return rows / (time.perf_counter() - began)


def _copy_leaves() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE bench_leaf (LIKE audit_leaf INCLUDING ALL)")
        cursor.execute("SELECT * FROM audit_leaf WHERE log = %s", [LOG])
        rows = cursor.fetchall()
        with cursor.copy("COPY bench_leaf FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def _inserts_a_second(
    centre: Centre, kind: str, writers: int, duration_seconds: float, _round: int
) -> float:
    url = centre.stage.environment("web")["DATABASE_URL"]
    processes = min(PROCESSES, writers)
    work = (url, INSERTS[kind], LOG, writers // processes, duration_seconds)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return sum(pool.map(write, [work] * processes))


@contextmanager
def sealer_of(centre: Centre, **told: str) -> Iterator[None]:
    """Have the sealer run beside, as a process of its own, told this besides."""
    values = centre.stage.environment("seal") | told
    values["AUDIT_SEAL_KEYS_DIR"] = str(_keys_folder(centre))
    process = subprocess.Popen(
        [sys.executable, "manage.py", "seal_audit", "--skip-checks"],
        env=values,
        stdout=subprocess.DEVNULL,
    )
    try:
        # It runs as soon as something that has happened since is sealed.
        append_alone(
            event_type=EventType.AUDIT_VERIFICATION_REQUESTED,
            actor=ACTOR,
            now=clock.now(),
            log=None,
            target=Target("log", LOG),
        )
        _wait_until_sealed()
        yield
    finally:
        process.terminate()
        process.wait(60)


def keys_of(centre: Centre) -> SealingKeys:
    """The keys it signs with."""
    return SealingKeys(_keys_folder(centre))


def _keys_folder(centre: Centre) -> Path:
    return centre.stage.keys / "sealing"


def _wait_until_sealed() -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM audit_unsealed WHERE log = %s", [LOG])
            if cursor.fetchone() == (0,):
                return
        time.sleep(0.2)
    raise WrongAnswer("The sealer does not come to an end.")
