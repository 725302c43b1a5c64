"""Which rules speak of a conversation, and what they give together."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.due_dates import due_at
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
    return Terms(version=UUID(int=number), **{"purpose": COACHING, "keep_months": 6, **says})


def contact(
    *stretches: tuple[UUID | None, UUID | None], kind="call", health=False, **is_known
) -> Contact:
    """A conversation that ended on 20 November 2026 at 14:32 in Helsinki."""
    known = {"ended_at": ENDED, "zone": HELSINKI, **is_known}
    return Contact(
        kind=kind,
        stretches=tuple(Stretch(*one) for one in stretches),
        may_hold_health_data=health,
        **known,
    )


class TestMatching:
    def test_an_empty_criterion_matches_every_one(self):
        assert mismatch(terms(), contact()) is None

    def test_asks_for_the_kind(self):
        assert mismatch(terms(kinds=frozenset({"chat"})), contact()) is Mismatch.KIND

    @pytest.mark.parametrize(
        ("says", "fits", "differs", "reason"),
        [
            (
                {"directions": frozenset({"inbound"})},
                {"direction": "inbound"},
                {"direction": "outbound"},
                Mismatch.DIRECTION,
            ),
            (
                {"outcomes": frozenset({"sale", "no-answer"})},
                {"outcome": "sale"},
                {"outcome": "complaint"},
                Mismatch.OUTCOME,
            ),
            (
                {"languages": frozenset({"sv", "en-GB"})},
                {"language": "sv-FI"},
                {"language": "en"},
                Mismatch.LANGUAGE,
            ),
            (
                {"languages": frozenset({"SV"})},
                {"language": "sv"},
                {"language": "svx"},
                Mismatch.LANGUAGE,
            ),
            (
                {"tags": frozenset({"praise", "order"})},
                {"tags": frozenset({"order", "vip"})},
                {"tags": frozenset({"Order"})},
                Mismatch.TAGS,
            ),
            (
                {"shortest_seconds": 60},
                {"duration_seconds": 60.0},
                {"duration_seconds": 59.9},
                Mismatch.DURATION,
            ),
            (
                {"longest_seconds": 60},
                {"duration_seconds": 60.0},
                {"duration_seconds": 60.1},
                Mismatch.DURATION,
            ),
        ],
    )
    def test_asks_for_each_detail_that_is_named(self, says, fits, differs, reason):
        assert mismatch(terms(**says), contact(**fits)) is None
        assert mismatch(terms(**says), contact(**differs)) is reason
        if reason is not Mismatch.DURATION:
            assert mismatch(terms(**says), contact()) is reason

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

    @settings(max_examples=1000, deadline=None)
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


def until(contact: Contact, *versions: Terms, limit: Limit | None = None, earlier=()):
    """The end for coaching, on the date in Helsinki; None while it is closed."""
    (decision,) = decide(
        contact=contact,
        versions=versions,
        limits={COACHING: limit} if limit else {},
        earlier=earlier,
    )
    return decision.until_at and decision.until_at.astimezone(HELSINKI).date().isoformat()


BY_CLAIM: dict[str, Any] = {"trigger": "claim.closed", "keep_months": 6, "cap_months": 24}


class TestEvents:
    def test_ends_at_the_cap_until_the_event_comes(self):
        (decision,) = decide(contact=contact(), versions=[terms(**BY_CLAIM)], limits={})

        assert decision.until_at == datetime(2028, 11, 20, 12, 32, tzinfo=UTC)
        assert decision.matches[0].counted_from is None
        assert decision.matches[0].cap_at == decision.until_at

    def test_counts_from_the_event_once_it_has_come(self):
        closed = contact(events={"claim.closed": datetime(2027, 1, 31, 22, 0, tzinfo=UTC)})

        assert until(closed, terms(**BY_CLAIM)) == "2027-08-01"

    def test_the_cap_cuts_what_an_event_gives(self):
        closed = contact(events={"claim.closed": datetime(2028, 10, 1, tzinfo=UTC)})

        assert until(closed, terms(**BY_CLAIM)) == "2028-11-20"

    def test_counts_from_the_call_if_the_claim_was_closed_before_it(self):
        closed = contact(events={"claim.closed": datetime(2020, 1, 1, tzinfo=UTC)})

        assert until(closed, terms(**BY_CLAIM)) == "2027-05-20"

    def test_another_event_changes_nothing(self):
        ended = contact(events={"contract.ended": ENDED})

        assert until(ended, terms(**BY_CLAIM)) == "2028-11-20"


class TestExclusions:
    def test_closes_the_purpose_whatever_the_others_give(self):
        (decision,) = decide(
            contact=contact(tags=frozenset({"whistle"})),
            versions=[
                terms(1, keep_months=60, cites_statute=True),
                terms(2, is_exclusion=True, tags=frozenset({"whistle"})),
            ],
            limits={},
        )

        assert (decision.decides, decision.until_at) == (None, None)
        assert decision.excluded_by == UUID(int=2)

    def test_leaves_what_the_floor_demands(self):
        excluded = [terms(1, keep_months=60), terms(2, is_exclusion=True)]

        assert until(contact(), *excluded, limit=Limit(36, None)) == "2029-11-20"
        assert until(contact(), *excluded, limit=Limit(0, None)) is None

    def test_closes_no_other_purpose_and_nothing_it_does_not_match(self):
        out = terms(2, is_exclusion=True, purpose=EVIDENCE)
        other = terms(3, is_exclusion=True, kinds=frozenset({"chat"}))

        assert [
            (decision.purpose, decision.until_at is None)
            for decision in decide(contact=contact(), versions=[terms(1), out, other], limits={})
        ] == [(COACHING, False), (EVIDENCE, True)]


JANUARY = datetime(2027, 1, 1, tzinfo=UTC)
MARCH = datetime(2027, 3, 1, tzinfo=UTC)
BEFORE = terms(1, keep_months=6, in_force_until=JANUARY)


class TestLengthening:
    """A customer who was told of six months is not kept for twelve."""

    def longer(self, **says) -> Terms:
        return terms(2, **{"keep_months": 12, "in_force_from": JANUARY, **says})

    def test_an_older_conversation_keeps_its_earlier_end_and_it_can_be_told_why(self):
        (decision,) = decide(
            contact=contact(captured_at=ENDED),
            versions=[self.longer()],
            limits={},
            earlier=[BEFORE],
        )

        assert decision.decides == UUID(int=2)
        assert decision.until_at == datetime(2027, 5, 20, 11, 32, tzinfo=UTC)
        assert decision.matches[0].not_until == datetime(2027, 11, 20, 12, 32, tzinfo=UTC)

    def test_a_newer_conversation_gets_it(self):
        newer = contact(captured_at=JANUARY)

        assert until(newer, self.longer(), earlier=[BEFORE]) == "2027-11-20"

    def test_a_statute_lengthens(self):
        older = contact(captured_at=ENDED)

        assert until(older, self.longer(cites_statute=True), earlier=[BEFORE]) == "2027-11-20"

    def test_a_notice_that_states_as_much_lengthens_and_one_that_states_less_does_not(self):
        told = {
            months: contact(captured_at=ENDED, noticed_months={COACHING: months})
            for months in (11, 12)
        }

        assert until(told[12], self.longer(), earlier=[BEFORE]) == "2027-11-20"
        assert until(told[11], self.longer(), earlier=[BEFORE]) == "2027-05-20"

    def test_a_shorter_version_takes_effect_and_its_end_stays(self):
        older = contact(captured_at=ENDED)
        shorter = self.longer(keep_months=3)
        again = terms(3, keep_months=6, in_force_from=MARCH)
        replaced = self.longer(keep_months=3, in_force_until=MARCH)

        assert until(older, shorter, earlier=[BEFORE]) == "2027-02-20"
        assert until(older, again, earlier=[BEFORE, replaced]) == "2027-02-20"

    def test_retiring_a_rule_and_making_it_anew_is_no_way_round(self):
        older = contact(captured_at=ENDED)
        anew = terms(7, keep_months=24, in_force_from=MARCH)

        assert until(older, anew, earlier=[BEFORE]) == "2027-05-20"

    def test_another_rule_or_purpose_does_not_outlast_the_conversation(self):
        older = contact(captured_at=ENDED)
        first = terms(1, keep_months=6)
        training = terms(5, purpose=EVIDENCE, keep_months=24, in_force_from=JANUARY)

        decisions = decide(contact=older, versions=[first, training], limits={})

        assert len({decision.until_at for decision in decisions}) == 1

    def test_what_no_rule_covered_is_covered_by_a_new_one(self):
        older = contact(captured_at=ENDED)

        assert until(older, terms(2, keep_months=24, in_force_from=JANUARY)) == "2028-11-20"

    def test_a_floor_lengthens_all_the_same(self):
        older = contact(captured_at=ENDED)
        limit = Limit(floor_months=9, ceiling_months=None)

        assert until(older, self.longer(), earlier=[BEFORE], limit=limit) == "2027-08-20"


ZONES = [ZoneInfo(name) for name in ("Europe/Helsinki", "UTC", "Pacific/Apia")]
# Drawn from one number, which takes a tenth of the time that drawing each value does.
SEEDS = st.integers(0, 2**32)


def a_contact(chance: random.Random) -> Contact:
    """A conversation of some winter or summer night, captured as rules come and go."""
    days = chance.randrange(1500)
    return contact(
        (chance.choice([CLAIMS, SALES, None]), chance.choice([PHONE, HEALTH, None])),
        kind=chance.choice(["call", "chat"]),
        health=chance.random() < 0.3,
        tags=frozenset(chance.sample("abc", chance.randrange(3))),
        duration_seconds=chance.choice([0.0, 59.5, 60.0, 3600.0]),
        zone=chance.choice(ZONES),
        ended_at=datetime(2023, 12, 1, 1, 30, tzinfo=UTC) + timedelta(days=days, hours=days % 24),
        events={
            event: datetime(2024, 2, 29, 1, 30, tzinfo=UTC) + timedelta(days=chance.randrange(1500))
            for event in ("claim.closed", "contract.ended")
            if chance.random() < 0.5
        },
        noticed_months={COACHING: chance.randrange(1, 25)} if chance.random() < 0.5 else {},
        captured_at=JANUARY + timedelta(days=chance.randrange(400)),
    )


def some_versions(chance: random.Random, *, first: int, most: int, are_earlier: bool = False):
    """Up to so many versions, for two purposes, in force from some day of a year on."""
    made = []
    for number in range(first, first + chance.randrange(most + 1)):
        from_at = JANUARY + timedelta(days=chance.randrange(400))
        trigger = chance.choice(["ended_at", "ended_at", "claim.closed", "contract.ended"])
        until_at = from_at + timedelta(days=chance.randrange(1, 90))
        made.append(
            terms(
                number,
                purpose=chance.choice([COACHING, EVIDENCE]),
                tags=frozenset(chance.sample("abc", chance.choice([0, 0, 1, 2]))),
                shortest_seconds=chance.choice([None, None, 60]),
                is_exclusion=chance.random() < 0.15,
                trigger=trigger,
                keep_months=chance.randrange(25),
                keep_days=chance.randrange(1, 32),
                cap_months=None if trigger == "ended_at" else chance.randrange(1, 31),
                has_article_9_condition=chance.random() < 0.5,
                cites_statute=chance.random() < 0.4,
                in_force_from=from_at,
                in_force_until=until_at if are_earlier else None,
            )
        )
    return made


@settings(max_examples=2500, deadline=None)
@given(seed=SEEDS)
def test_what_rules_give_is_within_what_they_say_in_whatever_order_they_come(seed):
    chance = random.Random(seed)
    one = a_contact(chance)
    versions = some_versions(chance, first=1, most=4)
    earlier = some_versions(chance, first=11, most=2, are_earlier=True)
    limits = {COACHING: Limit(2, 18)}
    decisions = decide(contact=one, versions=versions, limits=limits, earlier=earlier)
    mixed = chance.sample(versions, len(versions))
    mixed_earlier = chance.sample(earlier, len(earlier))

    again = decide(contact=one, versions=mixed, limits=limits, earlier=mixed_earlier)

    assert again == decisions
    by_id = {version.version: version for version in versions}
    for decision in decisions:
        excluded = any(
            version.is_exclusion and version.purpose == decision.purpose
            for version in versions
            if mismatch(version, one) is None
        )
        assert (decision.excluded_by is not None) == excluded
        if excluded and decision.until_at is not None:
            assert decision.until_at == decision.floor_at
        assert (decision.decides is None) == (decision.until_at is None)
        assert decision.until_at is None or decision.until_at > one.ended_at
        for match in decision.matches:
            version = by_id[match.version]
            said = version.cap_months is not None
            assert (match.cap_at is not None) == said
            assert match.cap_at is None or match.until_at <= match.cap_at
            if match.not_until is not None:
                assert match.until_at < match.not_until
                assert not version.cites_statute
                assert one.captured_at is not None
                assert version.in_force_from > one.captured_at
            elif said and match.counted_from is None:
                assert match.until_at == match.cap_at


@settings(max_examples=2500, deadline=None)
@given(seed=SEEDS)
def test_no_later_version_gives_more_than_a_notice_or_statute_or_the_rules_before(seed):
    chance = random.Random(seed)
    one = a_contact(chance)
    versions = some_versions(chance, first=1, most=4)
    earlier = some_versions(chance, first=11, most=2, are_earlier=True)
    without = replace(one, noticed_months={}, captured_at=JANUARY - timedelta(days=1))
    plain = [replace(version, cites_statute=False, is_exclusion=False) for version in versions]
    before = [replace(version, is_exclusion=False) for version in earlier]
    first = terms(50, keep_months=3, has_article_9_condition=True)

    for decision in decide(contact=without, versions=[first, *plain], limits={}, earlier=before):
        allowed = [
            due_at(trigger_at=one.ended_at, months=3, days=0, zone=one.zone),
            *(
                match.until_at
                for each in decide(
                    contact=replace(without, captured_at=None),
                    versions=[version for version in before if version.cites_statute],
                    limits={},
                )
                for match in each.matches
            ),
        ]
        assert decision.until_at is None or decision.until_at <= max(allowed)
