"""Keeps the keys that sign checkpoints: in files that only the sealer's account can read."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Protocol, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from audit.notes import Signer, fingerprint, public_bytes

_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{16}\.pem", re.ASCII)


class SealingKeysUnavailable(Exception):
    """The folder of the sealing keys, or one of them, cannot be used; nothing is sealed."""


class Keys(Protocol):
    """Where the keys are that sign, and those that signed; each raises SealingKeysUnavailable."""

    def current(self) -> Signer | None:
        """Give the newest key, None if there is none yet."""

    def find(self, wanted: str, /) -> Signer | None:
        """Give the key with that fingerprint, if it is here."""

    def create(self, *, now: datetime) -> Signer:
        """Make a key that signs from now on; the one before stays to hand over to it."""


class SealingKeys:
    """
    A folder of Ed25519 keys (PKCS #8, PEM), one a file; the newest by its file's name signs.

    `audit.sealing_token` has the keys of a token in its place.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def from_settings(cls) -> Self:
        """Give the folder that AUDIT_SEAL_KEYS_DIR names. Raises SealingKeysUnavailable."""
        from django.conf import settings

        if settings.AUDIT_SEAL_KEYS_DIR is None:
            raise SealingKeysUnavailable("AUDIT_SEAL_KEYS_DIR names no folder for this process.")
        return cls(settings.AUDIT_SEAL_KEYS_DIR)

    def current(self) -> Ed25519PrivateKey | None:
        """Give the newest key, None if there is none yet. Raises SealingKeysUnavailable."""
        paths = self._paths()
        return _read(paths[-1]) if paths else None

    def find(self, wanted: str) -> Ed25519PrivateKey | None:
        """Give the key with that fingerprint, if it is here. Raises SealingKeysUnavailable."""
        found = (
            key
            for path in self._paths()
            if wanted.startswith(path.stem.split("-")[1])
            for key in [_read(path)]
        )
        return next((key for key in found if _fingerprint(key) == wanted), None)

    def create(self, *, now: datetime) -> Ed25519PrivateKey:
        """
        Make a key that signs from now on; the one before stays to hand over to it.

        Raises SealingKeysUnavailable.
        """
        key = Ed25519PrivateKey.generate()
        name = f"{now:%Y%m%dT%H%M%SZ}-{_fingerprint(key)[:16]}.pem"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_folder()
            _write(self._folder / name, key)
        except OSError as error:
            raise SealingKeysUnavailable(
                f"The key could not be written: {error.strerror}."
            ) from error
        return key

    def _paths(self) -> Sequence[Path]:
        if not self._folder.exists():
            return []
        self._check_folder()
        return sorted(path for path in self._folder.iterdir() if _NAME.fullmatch(path.name))

    def _check_folder(self) -> None:
        mode = self._folder.stat().st_mode
        if not stat.S_ISDIR(mode) or mode & 0o077:
            raise SealingKeysUnavailable("Only its owner may enter the folder of the sealing keys.")


def _read(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise SealingKeysUnavailable(f"The sealing key {path.name} cannot be read.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SealingKeysUnavailable(f"The sealing key {path.name} is no Ed25519 key.")
    return key


def _write(path: Path, key: Ed25519PrivateKey) -> None:
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f".{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _fingerprint(key: Ed25519PrivateKey) -> str:
    return fingerprint(public_bytes(key.public_key()))
