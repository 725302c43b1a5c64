"""What one person, or one part of the system, has done, as a log tells it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count

from audit import queries
from audit.counting import limited
from audit.events import EventType
from audit.models import Event
from audit.queries import Filter, Place

DOINGS_EVENTS = 200


@dataclass(slots=True)
class Doing:
    """One event, or the ranges of one listening taken together; `event` is the last of them."""

    event: Event
    since: datetime
    ranges: int = 1


@dataclass(frozen=True, slots=True)
class Doings:
    """What was done, newest first, and the place after which older ones follow (None: none do)."""

    rows: list[Doing]
    events: int
    next_place: Place | None


def doings(*, wanted: Filter, after: Place | None = None) -> Doings:
    """
    A page of what was done; the ranges of one listening that are on it stand as one.

    A listening that goes on over the end of the page stands on the next one again.
    """
    page = queries.page(wanted=wanted, rows=DOINGS_EVENTS, after=after)
    rows: list[Doing] = []
    listenings: dict[str, Doing] = {}
    for event in page.events:
        play = _play_of(event)
        if play in listenings:
            listenings[play].ranges += 1
            listenings[play].since = event.happened_at
            continue
        doing = Doing(event, event.happened_at)
        rows.append(doing)
        if play:
            listenings[play] = doing
    return Doings(rows, len(page.events), page.next_place)


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


def _play_of(event: Event) -> str:
    if event.event_type != EventType.DIALOG_PLAYED:
        return ""
    return str(json.loads(event.body).get("x", {}).get("play", ""))
