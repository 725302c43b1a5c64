"""What an audited update costs in processor time, beside Django libraries that audit as well."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from audit import clock
from audit.operations.sealing import Sealer, introduce_key
from audit.sealing_keys import SealingKeys
from bench.centre import Centre
from bench.measuring import Line, Scale, compared, take_turns
from bench.peers.updating import cpu_seconds
from bench.stage import ROOT

UPDATES = {Scale.SMALL: 1_000, Scale.FULL: 5_000}
LIBRARIES = ("auditlog", "easyaudit")


def measure(centre: Centre, keys: SealingKeys, scale: Scale) -> Iterator[Line]:
    """Compare what auditing adds to an update: ours with its seal, and each library's."""
    _run(centre, "all", "manage.py", "migrate", "--run-syncdb", "--verbosity=0", "--skip-checks")
    introduce_key(keys=keys, now=clock.now())
    sealer = Sealer(keys)
    count = UPDATES[scale]
    nobody, us, sealing, *others = take_turns(
        partial(_updates, centre, "nobody", count),
        partial(_updates, centre, "us", count),
        partial(_sealing, sealer),
        *(partial(_updates, centre, library, count) for library in LIBRARIES),
    )
    ours = [
        (updates + seals - plain) / count * 1e6
        for updates, seals, plain in zip(us, sealing, nobody, strict=True)
    ]
    for library, found in zip(LIBRARIES, others, strict=True):
        theirs = [
            (all_of - plain) / count * 1e6 for all_of, plain in zip(found, nobody, strict=True)
        ]
        yield compared(f"audit_cpu_vs_{library}", "µs", ours, theirs)


def _updates(centre: Centre, audited_by: str, count: int, _round: int) -> float:
    return float(_run(centre, audited_by, "-m", "bench.peers.updating", str(count)))


def _sealing(sealer: Sealer, _round: int) -> float:
    """Seal what waits; it may have come in the round before."""
    spent = cpu_seconds()
    while sealer.seal(log="installation", now=clock.now()):
        pass
    return cpu_seconds() - spent


def _run(centre: Centre, audited_by: str, *command: str) -> str:
    told = {
        **centre.stage.environment("owner"),
        "BENCH_AUDITED_BY": audited_by,
        "DJANGO_SETTINGS_MODULE": "bench.peers.settings",
    }
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=told,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout
