"""What one person, or one part of the system, has done, as a log tells it."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count

from audit import queries
from audit.counting import limited
from audit.listenings import Happening, folded
from audit.queries import Filter, Place

DOINGS_EVENTS = 200


@dataclass(frozen=True, slots=True)
class Doings:
    """What was done, newest first, and the place after which older ones follow (None: none do)."""

    happenings: list[Happening]
    events: int
    next_place: Place | None


def doings(*, wanted: Filter, after: Place | None = None) -> Doings:
    """
    A page of what was done; the ranges of one listening that are on it stand as one.

    A listening that goes on over the end of the page stands on the next one again.
    """
    page = queries.page(wanted=wanted, rows=DOINGS_EVENTS, after=after)
    return Doings(folded(page.events), len(page.events), page.next_place)


def counts_by_type(*, wanted: Filter) -> list[tuple[str, int]]:
    """
    How many events of each type there are, the most frequent first.

    Raises TooManyToCount after five seconds.
    """
    counted = (
        queries.events(wanted)
        .values_list("event_type")
        .annotate(count=Count("event_id"))
        .order_by("-count", "event_type")
    )
    with limited():
        return list(counted)
