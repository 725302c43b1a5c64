"""Keeps the keys that are not in the database: key-encryption keys and the keys of keyed hashes."""

from __future__ import annotations

import fcntl
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
# First byte of every wrapped key, so that another way of wrapping can be told from this one.
WRAPPED_WITH_AES_256_GCM = b"\x01"
QUARANTINE = "quarantine"

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NAME = re.compile(
    rf"kek/{_UUID}/(?:[0-9]{{4}}-(?:0[1-9]|1[0-2])|open)|hash/{_UUID}|{QUARANTINE}", re.ASCII
)
_OVERWRITTEN = bytes(KEY_BYTES)


class KeyMissing(Exception):
    """There is no key of that name: it was destroyed, or never made."""

    def __init__(self, sentence: str = "The key for this content no longer exists.") -> None:
        super().__init__(sentence)


class KeyDoesNotFit(Exception):
    """A wrapped key was altered, moved to another row, or wrapped by another key."""

    def __init__(self, sentence: str = "The stored key does not belong to this content.") -> None:
        super().__init__(sentence)


class KeyringUnavailable(Exception):
    """The keyring cannot be asked at all; says nothing about whether a key exists."""

    def __init__(self, sentence: str = "The keys cannot be reached for now.") -> None:
        super().__init__(sentence)


class Keyring(Protocol):
    """
    What keeps the keys; names are made by `kek_name`, `hash_key_name` or are QUARANTINE.

    The one implementation is `FileKeyring`. A KMS or Vault would do `wrap` and `unwrap` on its
    own side and keep the keys of `keyed_hash` as secrets; untried.
    """

    def get(self, name: str) -> bytes:
        """The key. Raises KeyMissing, KeyringUnavailable."""

    def get_or_create(self, name: str) -> bytes:
        """The key, made now if there is none. Raises KeyringUnavailable."""

    def destroy(self, name: str) -> None:
        """Make the key unrecoverable; again is harmless. Raises KeyringUnavailable."""

    def names(self) -> list[str]:
        """Names of all keys there are, in order. Raises KeyringUnavailable."""

    def wrap(self, *, kek_name: str, content_key: bytes, context: bytes) -> bytes:
        """
        Encrypt a content key for the row that `context` names; makes the KEK if there is none.

        Raises KeyringUnavailable.
        """

    def unwrap(self, *, kek_name: str, wrapped_key: bytes, context: bytes) -> bytes:
        """
        Decrypt a content key that was wrapped for the same `context`.

        Raises KeyMissing, KeyDoesNotFit, KeyringUnavailable.
        """

    def keyed_hash(self, *, name: str, chunks: Iterable[bytes]) -> bytes:
        """HMAC-SHA256 of the chunks, 32 bytes; makes the key if there is none."""

    def hasher(self, name: str) -> hmac.HMAC:
        """The same hash, to be updated as bytes arrive."""


def kek_name(*, controller_id: UUID, month: str | None) -> str:
    """Name of the KEK of a controller and month of destroy_after ("2027-03"); None means open."""
    return _checked(f"kek/{controller_id}/{'open' if month is None else month}")


def hash_key_name(*, controller_id: UUID) -> str:
    """Name of the key of a controller's keyed hashes."""
    return _checked(f"hash/{controller_id}")


class FileKeyring:
    """A keyring of files: one of 32 bytes a key, mode 0400, in directories of mode 0700."""

    def __init__(self, directory: Path) -> None:
        """Take a directory that exists; see `prepare`."""
        self._directory = directory

    @classmethod
    def from_settings(cls) -> Self:
        """
        The keyring in the directory that the setting KEYRING_DIR names.

        Raises KeyringUnavailable if this process has none.
        """
        from django.conf import settings

        directory = getattr(settings, "KEYRING_DIR", None)
        if not directory:
            raise KeyringUnavailable("This process has no keyring.")
        return cls(Path(directory))

    @classmethod
    def prepare(cls, directory: Path) -> Self:
        """Make the directory of a new installation, if it is not there."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(directory)

    def get(self, name: str) -> bytes:
        key = self._read(self._path(name))
        if key is None:
            raise KeyMissing
        return key

    def get_or_create(self, name: str) -> bytes:
        path = self._path(name)
        return self._read(path) or self._create(path)

    def destroy(self, name: str) -> None:
        path = self._path(name)
        if name.endswith("/open") or name.startswith("hash/"):
            raise ValueError("All that is held, and all that is known again, hangs on this key.")
        self._check_directory()
        try:
            with _alone_in(path.parent):
                _overwrite(path)
                path.unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            raise KeyringUnavailable from error

    def put_back(self, name: str, key: bytes) -> bool:
        """
        Write a key from a copy of the keyring, unless there is one of that name.

        Returns whether it was written. Raises KeyringUnavailable.
        """
        if len(key) != KEY_BYTES or key == _OVERWRITTEN:
            raise ValueError("That is no key.")
        path = self._path(name)
        if self._read(path) is not None:
            return False
        return self._create(path, key) == key

    def names(self) -> list[str]:
        self._check_directory()
        try:
            found = [
                path.relative_to(self._directory).as_posix()
                for path in self._directory.rglob("*")
                if path.is_file()
            ]
        except OSError as error:
            raise KeyringUnavailable from error
        return sorted(name for name in found if _NAME.fullmatch(name))

    def wrap(self, *, kek_name: str, content_key: bytes, context: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        aead = AESGCM(self.get_or_create(kek_name))
        sealed = aead.encrypt(nonce, content_key, _bound_to(kek_name, context))
        return WRAPPED_WITH_AES_256_GCM + nonce + sealed

    def unwrap(self, *, kek_name: str, wrapped_key: bytes, context: bytes) -> bytes:
        aead = AESGCM(self.get(kek_name))
        wrapped_key = bytes(wrapped_key)
        nonce, sealed = wrapped_key[1 : 1 + NONCE_BYTES], wrapped_key[1 + NONCE_BYTES :]
        if wrapped_key[:1] != WRAPPED_WITH_AES_256_GCM or len(nonce) != NONCE_BYTES:
            raise KeyDoesNotFit
        try:
            return aead.decrypt(nonce, sealed, _bound_to(kek_name, context))
        except InvalidTag as error:
            raise KeyDoesNotFit from error

    def keyed_hash(self, *, name: str, chunks: Iterable[bytes]) -> bytes:
        hasher = self.hasher(name)
        for chunk in chunks:
            hasher.update(chunk)
        return hasher.digest()

    def hasher(self, name: str) -> hmac.HMAC:
        return hmac.new(self.get_or_create(name), digestmod="sha256")

    def _path(self, name: str) -> Path:
        return self._directory / _checked(name)

    def _check_directory(self) -> None:
        # A directory that is not mounted must not look like one whose keys were all destroyed.
        try:
            mode = self._directory.stat().st_mode
        except OSError as error:
            raise KeyringUnavailable from error
        if not stat.S_ISDIR(mode) or mode & 0o077:
            raise KeyringUnavailable("The keyring must be a directory that only its owner enters.")

    def _read(self, path: Path) -> bytes | None:
        self._check_directory()
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                key = file.read(KEY_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise KeyringUnavailable from error
        if key == _OVERWRITTEN:
            # `destroy` was stopped before it removed the file.
            return None
        if len(key) != KEY_BYTES:
            raise KeyringUnavailable("A key in the keyring is damaged.")
        return key

    def _create(self, path: Path, key: bytes | None = None) -> bytes:
        try:
            for parent in reversed(path.relative_to(self._directory).parents):
                (self._directory / parent).mkdir(mode=0o700, exist_ok=True)
            with _alone_in(path.parent):
                if self._read(path) is None:
                    path.unlink(missing_ok=True)
                    _write_new(path, key or os.urandom(KEY_BYTES))
            _sync_directory(path.parent.parent)
        except OSError as error:
            raise KeyringUnavailable from error
        made = self._read(path)
        if made is None:
            raise KeyringUnavailable
        return made


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Keep other makers and destroyers of keys out; what was done is on disk afterwards."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_new(path: Path, key: bytes) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    # A link never replaces: on a file system that ignores the lock, the first key still wins.
    try:
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _overwrite(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(_OVERWRITTEN)
        os.fsync(file.fileno())


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("That is no name of a key.")
    return name


def _bound_to(kek_name: str, context: bytes) -> bytes:
    name = kek_name.encode()
    return len(name).to_bytes(2, "big") + name + context


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
