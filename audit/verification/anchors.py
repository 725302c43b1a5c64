"""Compares the heads of a log with those that lie anchored outside the database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from audit import verify
from audit.anchoring import AnchorPlace, AnchorReader, AnchorUnavailable, oldest
from audit.models import Anchor, Origin
from audit.verification.verdicts import MOST_FAULTS, Verdict

_READERS = 8


def check_anchors(verdict: Verdict, reader: AnchorReader) -> None:
    """Compare every anchored head of a log with its heads, and what is said to be anchored."""
    origins = {origin.number: origin for origin in Origin.objects.filter(log=verdict.log)}
    recorded = dict(Anchor.objects.filter(log=verdict.log).values_list("key", "size"))
    try:
        with ThreadPoolExecutor(_READERS) as pool:
            for place, key, note in pool.map(
                lambda found: (found[0], found[1], reader.read(found[1], found[2])),
                oldest(reader, log=verdict.log),
            ):
                recorded.pop(key, None)
                verdict.anchors += 1
                _check_anchor(verdict, place, note.decode(errors="replace"), origins)
    except AnchorUnavailable as error:
        verdict.is_complete = False
        verdict.notes.append(f"The anchored heads could not be read: {error}")
        return
    for size in sorted(recorded.values())[:MOST_FAULTS]:
        verdict.fault(f"the head of {size} events is said to be anchored, and is not.")


def _check_anchor(
    verdict: Verdict, place: AnchorPlace, note: str, origins: dict[int, Origin]
) -> None:
    following = origins.get(place.number + 1)
    if following is not None and following.continues and place.size > following.from_size:
        # Lost when a backup was restored, as the log itself says; its last one is the one named.
        lost = verify.parse_checkpoint(following.continues)
        if place.size > lost.size or (place.size == lost.size and note != following.continues):
            verdict.fault(
                f"an anchored head of {place.size} events is not among those declared lost."
            )
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT note FROM audit_checkpoint WHERE log = %s AND size = %s",
            [verdict.log, place.size],
        )
        found = cursor.fetchone()
    if found == (note,):
        return
    if place.size > verdict.size:
        verdict.fault(
            f"{place.size - verdict.size} events are missing at the end: a head of {place.size} "
            "was anchored.",
            verdict.size,
        )
    else:
        verdict.fault(f"the head of {place.size} events is not the one that was anchored.")
