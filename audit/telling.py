"""Tells events to a person: what each says, with the names that their references have."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from audit import queries
from audit.models import Event
from audit.names import names_of
from audit.presentation import Row, describe, references_of


def told(found: Sequence[Event], *, also: Collection[str]) -> tuple[list[Row], dict[str, str]]:
    """
    Give a row for each event, in their order, and the names of all references in them.

    `also` are more references whose names are wanted.
    """
    details = queries.details([event.event_id for event in found])
    bodies = [json.loads(event.body) for event in found]
    pairs = list(zip(found, bodies, strict=True))
    names = names_of({*also, *(ref for event, body in pairs for ref in references_of(event, body))})
    rows = [describe(event, body, details.get(event.event_id), names) for event, body in pairs]
    return rows, names
