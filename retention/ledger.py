"""The ledger of destructions: locked objects outside the database that say whose key is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from django.conf import settings

from audit import canonical
from audit.registry import instant
from recordings.objectstore import ObjectStore, Version
from retention.models import Destruction

VERSION = 1
# A key that was destroyed before midnight can be committed, and come into a backup, after it.
MARGIN = timedelta(days=1)


class LedgerUnreadable(Exception):
    """An entry is not written as one: somebody has to look at it."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The ledger's entry {key} is not written as one.")


@dataclass(frozen=True, slots=True)
class Named:
    """One conversation that an entry names, and when its key was destroyed."""

    conversation_id: UUID
    key_destroyed_at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """What one locked object says."""

    key: str
    named: tuple[Named, ...]


def folder() -> str:
    """Give the folder of this installation's ledger, with its slash: a bucket may be shared."""
    return f"ledger/{settings.AUDIT_ORIGIN}/"


def key_of(rows: Sequence[Destruction], *, token: int) -> str:
    """
    Name the entry of these destructions of one run, in the order of their conversations.

    Its day is that of the last key: an entry of a day before everything that a backup holds can
    therefore name nothing that the backup does not know to be destroyed.
    """
    day = max(row.key_destroyed_at for row in rows if row.key_destroyed_at)
    return f"{folder()}{day:%Y/%m/%d}/{rows[0].run_id}/{token:012d}-{rows[0].conversation_id}.json"


def body_of(rows: Sequence[Destruction], *, now: datetime) -> bytes:
    """Write the entry of these destructions."""
    said = {
        "v": VERSION,
        "run": str(rows[0].run_id),
        "written_at": instant(now),
        "destroyed": [
            {
                "conversation": str(row.conversation_id),
                "controller": str(row.controller_id),
                "ended_at": instant(row.ended_at),
                "key_destroyed_at": instant(row.key_destroyed_at),
            }
            for row in rows
            if row.key_destroyed_at is not None
        ],
    }
    return canonical.dumps(said).encode()


def listed(store: ObjectStore, *, after: str | None) -> Iterator[Version]:
    """
    Give the entries as the oldest version of each key, which alone was locked when it was written.

    `after` is the newest one that the database knows: what was written before its day, less a
    margin, is left out. Raises StoreUnavailable, StoreRefused.
    """
    start = f"{folder()}{day_of(after) - MARGIN:%Y/%m/%d}/" if after else None
    return store.list_oldest(prefix=folder(), from_key=start)


def day_of(key: str) -> date:
    """Give the day in an entry's key. Raises LedgerUnreadable."""
    try:
        return date(*map(int, key.removeprefix(folder()).split("/")[:3]))
    except (TypeError, ValueError):
        raise LedgerUnreadable(key) from None


def read(store: ObjectStore, version: Version) -> Entry:
    """Read an entry. Raises LedgerUnreadable, StoreUnavailable, StoreRefused, ObjectMissing."""
    try:
        said = json.loads(store.get(version.key, version.version_id))
        if said["v"] != VERSION:
            raise LedgerUnreadable(version.key)
        named = tuple(
            Named(UUID(each["conversation"]), datetime.fromisoformat(each["key_destroyed_at"]))
            for each in said["destroyed"]
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise LedgerUnreadable(version.key) from None
    if any(each.key_destroyed_at.tzinfo is None for each in named):
        raise LedgerUnreadable(version.key)
    return Entry(version.key, named)
