"""Which rules speak of a conversation, and what they give together."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from retention.matching import (
    Bound,
    Contact,
    Limit,
    Mismatch,
    Stretch,
    Terms,
    decide,
    mismatch,
)
from tests.retention.retention_factories import ENDED

HELSINKI = ZoneInfo("Europe/Helsinki")
CLAIMS, SALES = UUID(int=1), UUID(int=2)
PHONE, HEALTH = UUID(int=11), UUID(int=12)
COACHING, EVIDENCE = UUID(int=21), UUID(int=22)


def terms(number: int = 100, **says) -> Terms:
    """A version that speaks of everything for six months, unless told."""
    said = {
        "purpose": COACHING,
        "kinds": frozenset(),
        "teams": frozenset(),
        "queues": frozenset(),
        "keep_months": 6,
        "keep_days": 0,
        "has_article_9_condition": False,
    }
    return Terms(version=UUID(int=number), **{**said, **says})


def contact(*stretches: tuple[UUID | None, UUID | None], kind="call", health=False) -> Contact:
    """A conversation that ended on 20 November 2026 at 14:32 in Helsinki."""
    return Contact(
        kind=kind,
        ended_at=ENDED,
        stretches=tuple(Stretch(*one) for one in stretches),
        may_hold_health_data=health,
        zone=HELSINKI,
    )


class TestMatching:
    def test_an_empty_criterion_matches_every_one(self):
        assert mismatch(terms(), contact()) is None

    def test_asks_for_the_kind(self):
        assert mismatch(terms(kinds=frozenset({"chat"})), contact()) is Mismatch.KIND

    def test_any_segment_may_have_the_team(self):
        transferred = contact((SALES, PHONE), (CLAIMS, None))

        assert mismatch(terms(teams=frozenset({CLAIMS})), transferred) is None

    def test_team_and_queue_must_meet_in_one_segment(self):
        both = terms(teams=frozenset({CLAIMS}), queues=frozenset({PHONE}))

        assert mismatch(both, contact((SALES, PHONE), (CLAIMS, None))) is Mismatch.TEAM_OR_QUEUE
        assert mismatch(both, contact((CLAIMS, PHONE))) is None

    def test_a_conversation_of_no_team_matches_no_rule_that_names_one(self):
        assert mismatch(terms(teams=frozenset({CLAIMS})), contact()) is Mismatch.TEAM_OR_QUEUE


class TestDeciding:
    def test_the_longest_of_several_rules_wins(self):
        (decision,) = decide(
            contact=contact(),
            versions=[terms(1, keep_months=6), terms(2, keep_months=12), terms(3, keep_months=2)],
            limits={},
        )

        assert decision.decides == UUID(int=2)
        assert decision.until_at == datetime(2027, 11, 20, 12, 32, tzinfo=UTC)
        assert [match.version.int for match in decision.matches] == [2, 1, 3]

    def test_the_older_of_two_equal_rules_decides(self):
        (decision,) = decide(contact=contact(), versions=[terms(9), terms(4)], limits={})

        assert decision.decides == UUID(int=4)

    def test_a_floor_lengthens(self):
        (decision,) = decide(
            contact=contact(),
            versions=[terms(keep_months=0, keep_days=5)],
            limits={COACHING: Limit(floor_months=12, ceiling_months=24)},
        )

        assert decision.bounded_by is Bound.FLOOR
        assert decision.until_at == decision.floor_at == datetime(2027, 11, 20, 12, 32, tzinfo=UTC)

    def test_a_ceiling_cuts(self):
        (decision,) = decide(
            contact=contact(),
            versions=[terms(keep_months=60)],
            limits={COACHING: Limit(floor_months=None, ceiling_months=24)},
        )

        assert decision.bounded_by is Bound.CEILING
        assert decision.until_at == decision.ceiling_at

    def test_health_data_without_a_condition_closes_the_purpose(self):
        (decision,) = decide(contact=contact(health=True), versions=[terms()], limits={})

        assert decision.decides is None
        assert decision.until_at is None

    def test_a_shorter_rule_with_a_condition_decides_over_health_data(self):
        (decision,) = decide(
            contact=contact(health=True),
            versions=[
                terms(1, keep_months=60),
                terms(2, keep_months=3, has_article_9_condition=True),
            ],
            limits={},
        )

        assert decision.decides == UUID(int=2)

    @settings(max_examples=1500, deadline=None)
    @given(
        months=st.lists(st.integers(1, 90), min_size=1, max_size=5),
        floor=st.none() | st.integers(0, 48),
        ceiling=st.none() | st.integers(0, 48),
        shuffled=st.randoms(use_true_random=False),
    )
    def test_stays_within_its_bounds_in_whatever_order_rules_come(
        self, months, floor, ceiling, shuffled
    ):
        if floor is not None and ceiling is not None and floor > ceiling:
            floor, ceiling = ceiling, floor
        versions = [terms(number, keep_months=keep) for number, keep in enumerate(months, 1)]
        limits = {COACHING: Limit(floor, ceiling)}
        (decision,) = decide(contact=contact(), versions=versions, limits=limits)
        shuffled.shuffle(versions)

        again = decide(contact=contact(), versions=versions, limits=limits)

        assert again == (decision,)
        assert decision.until_at is not None
        assert decision.floor_at is None or decision.until_at >= decision.floor_at
        assert decision.ceiling_at is None or decision.until_at <= decision.ceiling_at
        longest = max(match.until_at for match in decision.matches)
        assert decision.bounded_by or decision.until_at == longest
