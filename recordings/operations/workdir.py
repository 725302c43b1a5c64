"""Where a recording lies in clear for the moment it is examined, and what a killed process left."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

PREFIX = "capture-"


def _root() -> Path:
    root: Path = settings.CAPTURE_WORK_DIR
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


@contextmanager
def work_directory() -> Iterator[Path]:
    """Open a directory that only we can read and that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", dir=_root()) as name:
        yield Path(name)


def sweep_work_directories() -> int:
    """Remove what processes that were killed have left; returns how many directories."""
    left = [path for path in _root().glob(f"{PREFIX}*") if not _is_alive(path)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return len(left)


def _is_alive(path: Path) -> bool:
    try:
        os.kill(int(path.name.split("-")[1]), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
