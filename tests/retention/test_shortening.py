"""What counts as a shortening: whatever cannot be shown to end nothing earlier."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from retention.drafts import Draft, fields_of
from retention.shortening import shortens

PLAIN = Draft(keep_months=6, keep_days=0, legal_basis="6.1.f")
BY_EVENT = replace(PLAIN, trigger="claim.closed", cap_months=60)
NARROW = replace(
    PLAIN,
    kinds=("call",),
    teams=(uuid4(),),
    directions=("inbound",),
    outcomes=("sale",),
    languages=("sv",),
    tags=("complaint",),
    shortest_seconds=10,
    longest_seconds=600,
)
LISTS = ("kinds", "teams", "directions", "outcomes", "languages", "tags")
EXCLUSION = Draft(
    keep_months=0, keep_days=0, legal_basis="", is_exclusion=True, directions=("inbound",)
)


@pytest.mark.parametrize(
    ("old", "changed"),
    [
        (PLAIN, {"keep_months": 5}),
        *((PLAIN, {name: getattr(NARROW, name)}) for name in LISTS),
        (PLAIN, {"shortest_seconds": 0}),
        (NARROW, {"shortest_seconds": 11}),
        (PLAIN, {"longest_seconds": 600}),
        (NARROW, {"longest_seconds": 599}),
        (NARROW, {"tags": ("angry",)}),
        (PLAIN, {"trigger": "claim.closed", "cap_months": 60}),
        (BY_EVENT, {"trigger": "contract.ended"}),
        (BY_EVENT, {"cap_months": 59}),
        (PLAIN, {"is_exclusion": True}),
        (EXCLUSION, {"directions": ()}),
        (EXCLUSION, {"directions": ("inbound", "outbound")}),
        (replace(PLAIN, statute="Act 1/2020"), {"statute": ""}),
        (replace(PLAIN, article_9_condition="9.2.f"), {"article_9_condition": ""}),
    ],
)
def test_could_end_something_earlier(old, changed):
    assert shortens(fields_of(old), fields_of(replace(old, **changed)))


@pytest.mark.parametrize(
    ("old", "changed"),
    [
        (PLAIN, {"keep_months": 7}),
        (PLAIN, {"legal_basis": "6.1.b"}),
        (PLAIN, {"statute": "Act 1/2020"}),
        (PLAIN, {"article_9_condition": "9.2.f"}),
        *((NARROW, {name: ()}) for name in LISTS),
        (NARROW, {"tags": ("complaint", "angry")}),
        (NARROW, {"shortest_seconds": None}),
        (NARROW, {"shortest_seconds": 9, "longest_seconds": 601}),
        (NARROW, {"longest_seconds": None}),
        (BY_EVENT, {"cap_months": 61}),
    ],
)
def test_ends_nothing_earlier(old, changed):
    assert not shortens(fields_of(old), fields_of(replace(old, **changed)))
