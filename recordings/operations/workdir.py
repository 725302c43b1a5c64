"""Where a recording lies in clear for the moment it is examined, and what a killed process left."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

PREFIX = "capture-"


class NoRoomToWork(Exception):
    """There is no room, or no right, to examine recordings."""

    def __init__(self) -> None:
        super().__init__("There is no room to examine recordings in; see CAPTURE_WORK_DIR.")


def _root() -> Path:
    root: Path = settings.CAPTURE_WORK_DIR
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


@contextmanager
def work_directory() -> Iterator[Path]:
    """Open a directory that only we can read and that is gone afterwards."""
    try:
        with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", dir=_root()) as name:
            yield Path(name)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise NoRoomToWork from error
        raise


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
