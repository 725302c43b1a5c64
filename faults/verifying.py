"""A million events are checked in time, with and without this program; an altered one is named."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from django.db import connection

from audit import clock, proofs
from audit.bundles.copies import Format
from audit.operations.exporting import to_folder
from audit.operations.sealing import Sealer, introduce_key
from audit.queries import Filter
from audit.verification.checking import verify_log
from bench.auditing import EVENTS, LOG, SEAL_BATCH, keys_of, sealer_of
from bench.centre import ACTOR, Centre
from bench.events import make_events
from bench.measuring import Scale
from faults.outcome import Outcome

MOST_SECONDS = 60.0
INTACT, TAMPERED = 0, 1


def run(centre: Centre, scale: Scale) -> Iterator[Outcome]:
    """Check a log of so many events in the database, then its export by a program of its own."""
    make_events(log=LOG, count=EVENTS[scale])
    keys = keys_of(centre)
    introduce_key(keys=keys, now=clock.now())
    sealer = Sealer(keys)
    while sealer.seal(log=LOG, now=clock.now(), limit=SEAL_BATCH):
        pass
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) audit_leaf")
    yield _database()
    with tempfile.TemporaryDirectory() as folder, sealer_of(centre):
        bundle = Path(folder) / "bundle"
        for _step in to_folder(
            target=bundle,
            wanted=Filter(logs=[None]),
            form=Format.JSONL,
            actor=ACTOR,
            now=clock.now(),
        ):
            pass
        trusted = Path(folder) / "keys.txt"
        trusted.write_text("".join(f"{key}\n" for key in proofs.public_keys(log=LOG)))
        yield _bundle(bundle, trusted)
        yield _altered_bundle(bundle, trusted)


def _database() -> Outcome:
    began = time.perf_counter()
    verdict = verify_log(log=LOG, now=clock.now(), reader=None)
    spent = time.perf_counter() - began
    return Outcome(
        "verify_database",
        not verdict.faults and spent <= MOST_SECONDS,
        {"events": verdict.events, "faults": len(verdict.faults), "seconds": round(spent, 1)},
    )


def _bundle(bundle: Path, trusted: Path) -> Outcome:
    began = time.perf_counter()
    code, _said = _verify(bundle, trusted)
    spent = time.perf_counter() - began
    return Outcome(
        "verify_bundle",
        code == INTACT and spent <= MOST_SECONDS,
        {"exit_code": code, "seconds": round(spent, 1)},
    )


def _altered_bundle(bundle: Path, trusted: Path) -> Outcome:
    """Change one letter somewhere in the middle."""
    part = random.Random(26).choice(sorted(bundle.glob("events/*.jsonl")))
    content = part.read_bytes()
    place = content.index(b'"coach"', len(content) // 2)
    part.write_bytes(content[:place] + b'"couch"' + content[place + 7 :])
    line = content[:place].count(b"\n") + 1
    code, said = _verify(bundle, trusted)
    named = f"{part.relative_to(bundle)}, line {line}"
    return Outcome(
        "verify_altered_bundle",
        code == TAMPERED and named in said,
        {"exit_code": code, "altered": named, "named": str(named in said).lower()},
    )


def _verify(bundle: Path, trusted: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-I", str(bundle / "verify.py"), str(bundle), "--key", str(trusted)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
