"""Random secrets of the local servers, made once and kept where only their owner reads."""

from __future__ import annotations

import secrets
from pathlib import Path

from config.servers.files import make_private, write_private

SECRET_BYTES = 32


class Secrets:
    """A folder of secrets, one file each, made when first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        make_private(folder)

    def get(self, name: str) -> str:
        """Give the secret of that name: letters, digits, `-` and `_`, safe inside a URL."""
        path = self._folder / name
        if not path.exists():
            write_private(path, secrets.token_urlsafe(SECRET_BYTES))
        return path.read_text()
