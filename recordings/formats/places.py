"""Where a file that a manifest names may lie: inside the manifest's own folder and nowhere else."""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath

from recordings.formats.incoming import CannotCapture


def locate(named: str, *, folder: Path, field: str) -> Path:
    """
    The real path of what is named relative to the folder.

    Raises:
        CannotCapture: it is absolute, climbs with "..", leads out through a symbolic link, is not
            there, or is no regular file.
    """
    parts = PurePosixPath(named)
    if parts.is_absolute() or ".." in parts.parts or "\\" in named or not parts.parts:
        raise CannotCapture(f"Field {field} is not a path below the folder of the manifest.")
    try:
        found = (folder / parts).resolve(strict=True)
        if not found.is_relative_to(folder.resolve(strict=True)):
            raise CannotCapture(f"Field {field} leads out of the folder of the manifest.")
        if not stat.S_ISREG(found.stat().st_mode):
            raise CannotCapture(f"Field {field} names something that is not a file.")
    except (OSError, RuntimeError, ValueError):
        raise CannotCapture(f"Field {field} names a file that is not there.") from None
    return found
