"""Files that only their owner reads, and environments written as KEY=value lines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def make_private(folder: Path) -> None:
    """Make the folder where it is missing, and close it to everybody but its owner."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)


def write_private(path: Path, text: str) -> None:
    """Write the file at once or not at all, readable by its owner alone."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def write_environment(path: Path, values: Mapping[str, str]) -> None:
    """
    Write an environment, one KEY=value a line.

    Raises: ValueError when a value holds a line break.
    """
    for key, value in values.items():
        if "\n" in value:
            raise ValueError(f"{key} cannot hold a line break.")
    write_private(path, "".join(f"{key}={value}\n" for key, value in values.items()))


def read_environment(path: Path) -> dict[str, str]:
    """Read an environment written by `write_environment`."""
    lines = (line for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)
