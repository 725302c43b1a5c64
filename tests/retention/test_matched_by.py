"""What the database finds for a rule is what matching says of each conversation."""

from __future__ import annotations

import random
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from recordings.models import Conversation
from retention.contacts import PREFETCH, contact_of
from retention.matching import Terms, mismatch
from retention.queries import matched_by, rule_book
from tests.retention.retention_factories import (
    NOW,
    make_controller,
    make_conversation,
    make_queue,
    make_source,
    make_team,
)

COUNT = 60
DIRECTIONS = ["", "inbound", "outbound", "internal"]
OUTCOMES = ["", "sale", "no-answer", "no_answer"]
LANGUAGES = ["", "fi", "sv", "sv-FI", "SV-fi", "svx", "en-GB"]
TAGS = ["a", "A", "a b", "%", "ä", '"']
SECONDS = [0.0, 29.999, 30.0, 30.001, 90.0, 3600.5]


@pytest.fixture
def vakka(db):
    return make_controller()


@pytest.fixture
def places(vakka):
    return [make_team(vakka, name) for name in ("Claims", "Sales")], [make_queue(vakka)]


@pytest.fixture
def contacts(vakka, places):
    """Sixty kept conversations of all kinds, as matching sees them, and some that count not."""
    chance = random.Random(7)
    teams, queues = places
    source = make_source(vakka)
    for _ in range(COUNT):
        make_conversation(
            source,
            stretches=[
                (chance.choice([*teams, None]), chance.choice([*queues, None]))
                for _ in range(chance.randrange(3))
            ],
            kind=chance.choice(["call", "chat"]),
            direction=chance.choice(DIRECTIONS),
            outcome=chance.choice(OUTCOMES),
            language=chance.choice(LANGUAGES),
            tags=chance.sample(TAGS, chance.randrange(4)),
            duration_seconds=chance.choice(SECONDS),
        )
    make_conversation(make_source(make_controller("Onni")))
    make_conversation(source, state="withdrawn", withdrawn_at=NOW)
    book = rule_book(controller=vakka, at=NOW)
    rows = Conversation.objects.kept().filter(controller=vakka).prefetch_related(*PREFETCH)
    return {row.pk: contact_of(row, book=book) for row in rows}


def some_terms(chance: random.Random, places) -> Terms:
    """A version that names some of what there is."""
    teams, queues = ([row.pk for row in rows] for rows in places)

    def some(values: list, most: int = 2) -> frozenset:
        return frozenset(chance.sample(values, chance.choice([0, 0, 1, min(most, len(values))])))

    return Terms(
        version=uuid7(),
        purpose=uuid4(),
        kinds=some(["call", "chat"]),
        teams=some([*teams, uuid4()]),
        queues=some([*queues, uuid4()]),
        directions=some(DIRECTIONS[1:]),
        outcomes=some(OUTCOMES[1:]),
        languages=some(["fi", "sv", "SV", "sv-FI", "en", "s_"]),
        tags=some(TAGS),
        shortest_seconds=chance.choice([None, None, 0, 30]),
        longest_seconds=chance.choice([None, None, 30, 90]),
        is_exclusion=chance.random() < 0.2,
    )


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_agrees_with_matching(seed, vakka, places, contacts):
    chance = random.Random(seed)
    terms = [some_terms(chance, places) for _ in range(chance.choice([1, 1, 2]))]

    found = set(matched_by(controller=vakka, terms=terms).values_list("pk", flat=True))

    assert len(contacts) == COUNT
    assert found == {
        pk
        for pk, contact in contacts.items()
        if any(mismatch(one, contact) is None for one in terms)
    }
