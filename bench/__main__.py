"""The command `python -m bench`: one JSON object a line; ONLY=group and SCALE=small narrow it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench import stage
from bench.measuring import Scale

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / ".data" / "bench"
GROUPS = ("list", "capture", "stream", "audit", "audit_page", "purge", "purge_rows", "simulate")


def _wanted() -> tuple[str, ...]:
    only = os.environ.get("ONLY", "")
    if only and only not in GROUPS:
        sys.exit(f"ONLY={only} is no group; there are {', '.join(GROUPS)}.")
    return (only,) if only else GROUPS


def _scale() -> Scale:
    name = os.environ.get("SCALE", "full")
    try:
        return Scale(name)
    except ValueError:
        sys.exit(f"SCALE={name} is unknown; there are {', '.join(Scale)}.")


def main() -> None:
    """Start servers, make a database, measure the groups, end the servers."""
    wanted, scale = _wanted(), _scale()
    with stage.opened(DATA) as opened:
        # Imported once Django is set up: they import models.
        from bench import auditing, capturing, listing, purging, simulating, streaming
        from bench.centre import make_centre

        measures = {
            "list": listing.measure,
            "capture": capturing.measure,
            "stream": streaming.measure,
            "audit": auditing.measure,
            "audit_page": auditing.measure_page,
            "purge": purging.measure,
            "purge_rows": purging.measure_rows,
            "simulate": simulating.measure,
        }
        centre = make_centre(opened)
        for group in wanted:
            for line in measures[group](centre, scale):
                print(line.as_json(), flush=True)


if __name__ == "__main__":
    main()
