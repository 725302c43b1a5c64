"""Where checkpoints are anchored: locked objects outside the database, which nobody can change."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, cast

from django.conf import settings
from django.utils.module_loading import import_string

# Below the folder of this installation: log, number of its origin, month, size.
_PLACE = re.compile(r"(?P<log>[a-z0-9-]+)/(?P<number>\d+)/\d{4}-\d\d/(?P<size>\d{20})", re.ASCII)


class AnchorUnavailable(Exception):
    """The anchor's store does not answer, or refuses; it is tried again."""


class AnchorWriter(Protocol):
    """May put a locked object, and nothing else."""

    def put(self, key: str, body: bytes, *, retain_until: datetime) -> bool:
        """
        Put an object under an unused key; False if the key was used. Raises AnchorUnavailable.
        """


class AnchorReader(Protocol):
    """May list and read what is anchored, and nothing else."""

    def oldest_versions(self, prefix: str) -> Iterator[tuple[str, str]]:
        """
        Give key and version id of the oldest version of each object, by key.

        A lock does not keep later versions and delete markers from a key: the oldest is the anchor.

        Raises AnchorUnavailable.
        """

    def read(self, key: str, version_id: str) -> bytes:
        """Give an object's bytes. Raises AnchorUnavailable."""


@dataclass(frozen=True, slots=True)
class AnchorPlace:
    """Which checkpoint an anchor's key names."""

    log: str
    number: int  # of the log's origin
    size: int

    @classmethod
    def parse(cls, key: str) -> AnchorPlace | None:
        """Read a key; None if it is not one of ours."""
        found = _PLACE.fullmatch(key.removeprefix(folder()))
        return cls(found["log"], int(found["number"]), int(found["size"])) if found else None

    def key(self, *, at: datetime) -> str:
        """Give the key of an anchor put at that time: by log, origin and month, then by size."""
        month = f"{at.astimezone(UTC):%Y-%m}"
        return f"{folder()}{self.log}/{self.number}/{month}/{self.size:020d}"


def folder() -> str:
    """Give the folder of this installation's anchors, with its slash: a bucket may be shared."""
    return f"checkpoint/{settings.AUDIT_ORIGIN}/"


def writer() -> AnchorWriter:
    """Give the anchor's writer, which the setting AUDIT_ANCHOR_WRITER names (dotted path)."""
    return cast(Callable[[], AnchorWriter], import_string(settings.AUDIT_ANCHOR_WRITER))()


def reader() -> AnchorReader:
    """Give the anchor's reader, which the setting AUDIT_ANCHOR_READER names (dotted path)."""
    return cast(Callable[[], AnchorReader], import_string(settings.AUDIT_ANCHOR_READER))()


def oldest(reader: AnchorReader, *, log: str) -> Iterator[tuple[AnchorPlace, str, str]]:
    """
    Give place, key and version id of every anchored checkpoint of a log, by origin and month.

    Raises AnchorUnavailable.
    """
    for key, version_id in reader.oldest_versions(f"{folder()}{log}/"):
        place = AnchorPlace.parse(key)
        if place is not None:
            yield place, key, version_id


def anchored_logs(reader: AnchorReader) -> set[str]:
    """Give the names of all logs of which something is anchored. Raises AnchorUnavailable."""
    places = (AnchorPlace.parse(key) for key, _version in reader.oldest_versions(folder()))
    return {place.log for place in places if place is not None}


def anchored(reader: AnchorReader, *, log: str) -> Iterator[tuple[AnchorPlace, str]]:
    """
    Give every anchored checkpoint of a log as its place and its note, by origin and month.

    Raises AnchorUnavailable.
    """
    for place, key, version_id in oldest(reader, log=log):
        yield place, reader.read(key, version_id).decode(errors="replace")


def newest(reader: AnchorReader, *, log: str, number: int) -> tuple[AnchorPlace, str] | None:
    """
    Give the largest anchored checkpoint of one origin of a log.

    Raises AnchorUnavailable.
    """
    largest: tuple[AnchorPlace, str, str] | None = None
    for key, version_id in reader.oldest_versions(f"{folder()}{log}/{number}/"):
        place = AnchorPlace.parse(key)
        if place is not None and (largest is None or place.size > largest[0].size):
            largest = (place, key, version_id)
    if largest is None:
        return None
    place, key, version_id = largest
    return place, reader.read(key, version_id).decode(errors="replace")
