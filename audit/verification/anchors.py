"""Compares the heads of a log with those that lie anchored outside the database."""

from __future__ import annotations

from collections.abc import Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from django.db import connection

from audit import trees
from audit.anchoring import AnchorPlace, AnchorReader, AnchorUnavailable, oldest
from audit.models import Anchor, Origin
from audit.verification.verdicts import MOST_FAULTS, Verdict

_READERS = 8


@dataclass(frozen=True, slots=True)
class Anchored:
    """The heads of a log that lay in the anchor at one time: place, key and oldest version."""

    reader: AnchorReader
    verdict: Verdict
    found: list[tuple[AnchorPlace, str, str]]

    @classmethod
    def listed(cls, reader: AnchorReader, verdict: Verdict) -> Self | None:
        """List them; None, which the verdict says, if the anchor does not answer."""
        try:
            return cls(reader, verdict, list(oldest(reader, log=verdict.log)))
        except AnchorUnavailable as error:
            verdict.cannot_tell(f"The anchored heads could not be read: {error}")
            return None

    def compare(self, restarts: Set[tuple[int, str]]) -> None:
        """
        Compare each with the database's head of its size, and what is said to be anchored.

        `restarts` are the lost heads, by size and root, that sealed events of the log declare.
        """
        log = self.verdict.log
        origins = {origin.number: origin for origin in Origin.objects.filter(log=log)}
        listed = {key for _place, key, _version in self.found}
        try:
            with ThreadPoolExecutor(_READERS) as pool:
                for place, note in pool.map(self._read, self.found):
                    self.verdict.anchors += 1
                    self._compare(place, note, origins.get(place.number + 1), restarts)
            missing = [
                size
                for key, size in Anchor.objects.filter(log=log).values_list("key", "size")
                if key not in listed and not self._came_meanwhile(key)
            ]
        except AnchorUnavailable as error:
            self.verdict.cannot_tell(f"The anchored heads could not be read: {error}")
            return
        for size in sorted(missing)[:MOST_FAULTS]:
            self.verdict.fault(f"the head of {size} events is said to be anchored, and is not.")

    def _read(self, found: tuple[AnchorPlace, str, str]) -> tuple[AnchorPlace, str]:
        place, key, version = found
        return place, self.reader.read(key, version).decode(errors="replace")

    def _came_meanwhile(self, key: str) -> bool:
        return any(found == key for found, _version in self.reader.oldest_versions(key))

    def _compare(
        self,
        place: AnchorPlace,
        note: str,
        following: Origin | None,
        restarts: Set[tuple[int, str]],
    ) -> None:
        if following is not None and place.size > following.from_size:
            # Lost when a backup was restored, if the log itself says so; the last is the one named.
            lost = trees.lost_head(following)
            is_declared = lost is not None and (lost.size, lost.root.hex()) in restarts
            if is_declared and lost is not None and place.size <= lost.size:
                if place.size == lost.size and note != following.continues:
                    self.verdict.fault(f"the head of {place.size} events is not the one declared.")
                return
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT note FROM audit_checkpoint WHERE log = %s AND size = %s",
                [self.verdict.log, place.size],
            )
            found = cursor.fetchone()
        if found == (note,):
            return
        if place.size > self.verdict.size:
            self.verdict.fault(
                f"{place.size - self.verdict.size} events are missing at the end: a head of "
                f"{place.size} was anchored.",
                self.verdict.size,
            )
        else:
            self.verdict.fault(f"the head of {place.size} events is not the one that was anchored.")
