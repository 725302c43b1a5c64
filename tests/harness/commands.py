"""Runs commands of manage.py as processes of their own, with the rights of their role."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, cast

import orjson

from tests.harness.roles import Role, Stage
from tests.harness.session import ROOT

TIMEOUT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def printed(self) -> str:
        """All that it printed, on either stream."""
        return self.out + self.err

    @property
    def answer(self) -> dict[str, Any]:
        """What it printed with --json."""
        return cast(dict[str, Any], orjson.loads(self.out.strip().splitlines()[-1]))


def manage(stage: Stage, *command: str, role: Role, **settings: str) -> Done:
    """Run a command to its end as that role, with these settings besides its own."""
    ran = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **stage.environment(role), **settings},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return Done(ran.returncode, ran.stdout, ran.stderr)
