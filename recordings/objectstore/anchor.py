"""The audit log's anchor, kept in the locked bucket; the audit room names these by its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from audit.anchoring import AnchorUnavailable
from recordings.objectstore.errors import ObjectExists, StoreError
from recordings.objectstore.store import ObjectStore


class StoreAnchorWriter:
    """Puts locked objects with an identity that can do nothing else."""

    def __init__(self) -> None:
        self._store = _opened(ObjectStore.for_anchor)

    def put(self, key: str, body: bytes, *, retain_until: datetime) -> bool:
        """Put an object under an unused key; False if it was used. Raises AnchorUnavailable."""
        try:
            self._store.put_locked(key, body, retain_until=retain_until)
        except ObjectExists:
            return False
        except StoreError as error:
            raise AnchorUnavailable(str(error)) from error
        return True


class StoreAnchorReader:
    """Lists and reads locked objects with an identity that can do nothing else."""

    def __init__(self) -> None:
        self._store = _opened(ObjectStore.for_anchor_reading)

    def oldest_versions(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Give key and version id of each object's oldest version. Raises AnchorUnavailable."""
        try:
            yield from self._store.list_oldest(prefix=prefix)
        except StoreError as error:
            raise AnchorUnavailable(str(error)) from error

    def read(self, key: str, version_id: str) -> bytes:
        """Give an object's bytes. Raises AnchorUnavailable."""
        try:
            return self._store.get(key, version_id)
        except StoreError as error:
            raise AnchorUnavailable(str(error)) from error


def anchor_writer() -> StoreAnchorWriter:
    """Give the anchor's writer. Raises AnchorUnavailable if this process may not write it."""
    return StoreAnchorWriter()


def anchor_reader() -> StoreAnchorReader:
    """Give the anchor's reader. Raises AnchorUnavailable if this process may not read it."""
    return StoreAnchorReader()


def _opened(make: Callable[[], ObjectStore]) -> ObjectStore:
    try:
        return make()
    except StoreError as error:
        raise AnchorUnavailable(str(error)) from error
