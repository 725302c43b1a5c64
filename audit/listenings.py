"""Takes the ranges that were fetched for one listening together, as people think of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from audit.events import EventType
from audit.models import Event


@dataclass(slots=True)
class Happening:
    """One event, or the ranges of one listening; `event` is the first that was met of them."""

    event: Event
    other_at: datetime  # when the last that was met happened
    ranges: int = 1
    bytes: int = 0


def folded(found: Iterable[Event]) -> list[Happening]:
    """
    Give events in their order, with the ranges of each listening where the first of them stands.

    A listening that goes on beyond what is given stands in what follows again.
    """
    happenings: list[Happening] = []
    listenings: dict[tuple[str, str], Happening] = {}
    for event in found:
        happening = Happening(event, event.happened_at)
        if event.event_type == EventType.DIALOG_PLAYED:
            facts = json.loads(event.body).get("x", {})
            happening.bytes = max(facts.get("last_byte", -1) - facts.get("first_byte", 0) + 1, 0)
            if play := facts.get("play"):
                known = listenings.setdefault((event.actor, play), happening)
                if known is not happening:
                    known.ranges += 1
                    known.bytes += happening.bytes
                    known.other_at = event.happened_at
                    continue
        happenings.append(happening)
    return happenings
