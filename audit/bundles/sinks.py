"""Where the files of a bundle go: into a folder that can be gone on with, or into a .zip."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any, Protocol

_STATE = ".state"


class Sink(Protocol):
    """Takes the files of a bundle, each whole."""

    def write(self, name: str, content: bytes) -> None:
        """Take a file. Raises OSError."""


class FolderBegun(Exception):
    """The folder holds another export that was begun, or one that was finished."""


class Folder:
    """
    A folder that bears its name when it is whole; until then its name ends in `.part`.

    Beside the files it keeps what is needed to go on after a kill: notes, in a folder of its own.
    """

    def __init__(self, target: Path) -> None:
        """Raises FolderBegun if there is a finished one."""
        if target.exists():
            raise FolderBegun(f"{target} exists already: it holds an export that was finished.")
        self.target = target
        self._part = target.with_name(target.name + ".part")

    def write(self, name: str, content: bytes) -> None:
        """Take a file; it bears its name only when it is on the disk."""
        path = self._part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".draft")
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    def note(self, name: str, said: dict[str, Any]) -> None:
        """Remember something until the folder is whole."""
        self.write(f"{_STATE}/{name}.json", json.dumps(said).encode())

    def noted(self, name: str) -> dict[str, Any] | None:
        """Give what was remembered before the kill."""
        try:
            found: dict[str, Any] = json.loads((self._part / _STATE / f"{name}.json").read_text())
        except FileNotFoundError:
            return None
        return found

    def finish(self) -> None:
        """Give the folder its name."""
        shutil.rmtree(self._part / _STATE)
        for draft in self._part.rglob("*.draft"):
            draft.unlink()
        self._part.rename(self.target)


class Zip:
    """A .zip that is taken away in pieces while it grows."""

    def __init__(self) -> None:
        self._pieces = _Pieces()
        self._zip = zipfile.ZipFile(self._pieces, "w", zipfile.ZIP_DEFLATED)

    def write(self, name: str, content: bytes) -> None:
        """Take a file. All have the oldest time there is: when they were made, the log says."""
        self._zip.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 6)

    def finish(self) -> None:
        """Write the list of its files."""
        self._zip.close()

    def take(self) -> bytes:
        """Give what has come since the last time."""
        return self._pieces.take()


class _Pieces(io.RawIOBase):
    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._waiting += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._waiting)
        self._waiting.clear()
        return taken
