"""When kept time ends, across leap days, month ends and both changes of the clock."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from retention.due_dates import can_fall_short, can_outlast, due_at, later_date

HELSINKI = ZoneInfo("Europe/Helsinki")
ZONES = [
    ZoneInfo(name)
    for name in (
        "Europe/Helsinki",
        "Europe/London",
        "America/New_York",
        "America/St_Johns",
        "Australia/Lord_Howe",  # half an hour of summer time
        "Africa/Casablanca",  # leaves summer time for Ramadan
        "Asia/Kathmandu",  # + 5:45
        "Pacific/Apia",  # skipped 30 December 2011
        "UTC",
    )
]
MANY = settings(max_examples=3000, deadline=None)
SOME = settings(max_examples=500, deadline=None)
START = datetime(2005, 1, 1, tzinfo=UTC)
FORTY_YEARS_SECONDS = 40 * 365 * 86_400
INSTANTS = st.integers(0, FORTY_YEARS_SECONDS).map(lambda s: START + timedelta(seconds=s))
LENGTHS = st.tuples(st.integers(0, 120), st.integers(1, 400)) | st.tuples(
    st.integers(1, 120), st.just(0)
)


def due(trigger: str, *, months: int = 0, days: int = 0, zone: ZoneInfo = HELSINKI) -> str:
    """The due instant as the zone's wall clock shows it, with its offset."""
    at = due_at(
        trigger_at=datetime.fromisoformat(trigger).replace(tzinfo=zone),
        months=months,
        days=days,
        zone=zone,
    )
    return at.astimezone(zone).isoformat()


class TestDueAt:
    @pytest.mark.parametrize(
        ("trigger", "months", "days", "expected"),
        [
            ("2026-11-20T14:32:00", 6, 0, "2027-05-20T14:32:00+03:00"),
            ("2024-02-29T10:00:00", 12, 0, "2025-02-28T10:00:00+02:00"),
            ("2024-02-29T10:00:00", 48, 0, "2028-02-29T10:00:00+02:00"),
            ("2026-01-31T10:00:00", 1, 0, "2026-02-28T10:00:00+02:00"),
            ("2026-08-31T10:00:00", 1, 0, "2026-09-30T10:00:00+03:00"),
            ("2026-01-31T10:00:00", 1, 1, "2026-03-01T10:00:00+02:00"),
            ("2026-12-31T23:59:59", 0, 1, "2027-01-01T23:59:59+02:00"),
        ],
    )
    def test_counts_calendar_months_then_days(self, trigger, months, days, expected):
        assert due(trigger, months=months, days=days) == expected

    def test_keeps_the_wall_clock_when_summer_time_begins_between(self):
        assert due("2027-03-27T12:00:00", days=1) == "2027-03-28T12:00:00+03:00"

    def test_moves_a_skipped_time_to_the_next_that_exists(self):
        assert due("2027-02-28T03:30:00", months=1) == "2027-03-28T04:00:00+03:00"

    def test_takes_the_later_of_a_time_that_comes_twice(self):
        assert due("2026-09-25T03:30:00", months=1) == "2026-10-25T03:30:00+02:00"

    def test_moves_a_skipped_day_to_the_next_that_exists(self):
        apia = ZoneInfo("Pacific/Apia")

        assert due("2011-11-30T09:00:00", months=1, zone=apia) == "2011-12-31T00:00:00+14:00"

    def test_refuses_a_trigger_without_a_zone(self):
        with pytest.raises(ValueError, match="no instant"):
            due_at(trigger_at=datetime(2026, 1, 1), months=1, days=0, zone=HELSINKI)  # noqa: DTZ001

    def test_refuses_less_than_no_time(self):
        with pytest.raises(ValueError, match="no time"):
            later_date(day=date(2026, 1, 1), months=0, days=-1)

    @MANY
    @given(trigger=INSTANTS, length=LENGTHS, zone=st.sampled_from(ZONES))
    @example(trigger=datetime(2027, 2, 28, 1, 30, tzinfo=UTC), length=(1, 0), zone=HELSINKI)
    def test_shows_the_same_time_on_the_wall_or_the_first_one_after_it(self, trigger, length, zone):
        months, days = length
        wall = trigger.astimezone(zone).replace(tzinfo=None)
        wanted = datetime.combine(
            later_date(day=wall.date(), months=months, days=days), wall.time()
        )

        at = due_at(trigger_at=trigger, months=months, days=days, zone=zone)

        shown = at.astimezone(zone).replace(tzinfo=None)
        assert at.tzinfo is UTC
        assert shown >= wanted
        if shown > wanted:
            just_before = (at - timedelta(microseconds=1)).astimezone(zone)
            assert just_before.replace(tzinfo=None) < wanted
        else:
            hours_later = [
                (at + timedelta(minutes=minutes)).astimezone(zone).replace(tzinfo=None)
                for minutes in (30, 60, 120)
            ]
            assert wanted not in hours_later

    @MANY
    @given(trigger=INSTANTS, length=LENGTHS, more=LENGTHS, zone=st.sampled_from(ZONES))
    def test_is_later_the_longer_it_is_kept(self, trigger, length, more, zone):
        months, days = length

        short = due_at(trigger_at=trigger, months=months, days=days, zone=zone)
        long = due_at(trigger_at=trigger, months=months + more[0], days=days + more[1], zone=zone)

        assert trigger < short <= long

    @SOME
    @given(trigger=INSTANTS, days_later=st.integers(1, 40), length=LENGTHS)
    def test_never_ends_on_an_earlier_day_for_what_ended_on_a_later_day(
        self, trigger, days_later, length
    ):
        months, days = length
        other = trigger + timedelta(days=days_later, hours=1)

        ends = [
            due_at(trigger_at=at, months=months, days=days, zone=HELSINKI).astimezone(HELSINKI)
            for at in (trigger, other)
        ]

        # Days that a month lacks fall together on its last one, where only the time of day tells.
        assert ends[0].date() <= ends[1].date()


class TestLimits:
    @pytest.mark.parametrize(
        ("months", "days", "limit", "longer", "shorter"),
        [
            (6, 0, 6, False, False),
            (5, 30, 6, True, True),  # from 1 February 30 days are more than March's start
            (0, 400, 12, True, False),
            (0, 365, 12, False, True),
            (0, 366, 12, True, False),
            (24, 1, 24, True, False),
            (23, 0, 24, False, True),
        ],
    )
    def test_compares_days_with_months_from_every_day_of_the_year(
        self, months, days, limit, longer, shorter
    ):
        keep = {"months": months, "days": days, "limit_months": limit}

        assert can_outlast(**keep) is longer
        assert can_fall_short(**keep) is shorter

    @settings(max_examples=400, deadline=None)
    @given(months=st.integers(0, 30), days=st.integers(0, 800), limit=st.integers(0, 36))
    def test_agrees_with_what_happens_from_any_day(self, months, days, limit):
        days_of_century = [date(2003, 5, 17), date(2028, 2, 29), date(2031, 8, 31)]

        for day in days_of_century:
            end = later_date(day=day, months=months, days=days)
            bound = later_date(day=day, months=limit, days=0)
            assert end <= bound or can_outlast(months=months, days=days, limit_months=limit)
            assert end >= bound or can_fall_short(months=months, days=days, limit_months=limit)


def test_every_hour_of_both_changes_of_the_clock_has_one_end():
    nights = [datetime(2026, 10, 24, 20, tzinfo=UTC), datetime(2027, 3, 27, 20, tzinfo=UTC)]

    for night in nights:
        triggers = [night + timedelta(minutes=10 * step) for step in range(48)]
        ends = [
            due_at(trigger_at=at - timedelta(days=1), months=0, days=1, zone=HELSINKI)
            for at in triggers
        ]

        assert all(earlier <= later for earlier, later in itertools.pairwise(ends))
