"""The command `python -m faults`: one JSON object a fault, exit code 1 if a promise was broken."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from bench import stage
from bench.measuring import Scale

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / ".data" / "faults"
GROUPS = (
    *("listening", "verifying", "killing", "store", "servers", "racing", "clocks", "residue"),
    "first_fails",
)


def main() -> None:
    """Start servers, make a database, break what the groups break, end the servers."""
    only = os.environ.get("ONLY", "")
    if only and only not in GROUPS:
        sys.exit(f"ONLY={only} is no group; there are {', '.join(GROUPS)}.")
    scale = Scale(os.environ.get("SCALE", "full"))
    broken = []
    # The ledger of an earlier run would say of the new database that it was restored.
    shutil.rmtree(DATA / "seaweedfs", ignore_errors=True)
    with stage.opened(DATA) as opened:
        # Imported once Django is set up: they import models.
        from bench.centre import make_centre
        from faults import (
            clocks,
            first_fails,
            killing,
            listening,
            racing,
            residue,
            servers,
            store,
            verifying,
        )

        modules = (
            *(listening, verifying, killing, store, servers, racing, clocks, residue),
            first_fails,
        )
        runs = {module.__name__.rpartition(".")[2]: module.run for module in modules}
        centre = make_centre(opened)
        for group in (only,) if only else GROUPS:
            for outcome in runs[group](centre, scale):
                print(outcome.as_json(), flush=True)
                broken += [] if outcome.is_kept else [outcome.name]
    if broken:
        sys.exit(f"Not as promised: {', '.join(broken)}")


if __name__ == "__main__":
    main()
