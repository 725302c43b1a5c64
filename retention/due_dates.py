"""When a time that is given in calendar months and days has passed, at one place on earth."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

# The dates of one leap cycle: what holds from each of these holds from any date of 1901-2099.
_LEAP_CYCLE = tuple(date(2024, 1, 1) + timedelta(days=day) for day in range(1461))


def due_at(*, trigger_at: datetime, months: int, days: int, zone: ZoneInfo) -> datetime:
    """
    Return the UTC instant that many calendar months and then days after the trigger.

    The clock on the wall in `zone` shows the same time as at the trigger. A day that the month
    lacks becomes its last day; a time that the zone skips becomes the next that exists; of a time
    that comes twice the later is meant.

    Raises ValueError if the trigger has no time zone or if months or days are negative.

    Source: design, *Due dates*.
    """
    if trigger_at.tzinfo is None:
        raise ValueError("a trigger without a time zone is no instant")
    wall = trigger_at.astimezone(zone)
    day = later_date(day=wall.date(), months=months, days=days)
    return _instant(datetime.combine(day, wall.time()), zone)


def begins_at(*, day: date, zone: ZoneInfo) -> datetime:
    """The UTC instant at which the day begins on the clocks of the zone."""
    return _instant(datetime.combine(day, time.min), zone)


def later_date(*, day: date, months: int, days: int) -> date:
    """
    Return the date that many calendar months and then days later.

    Raises ValueError if months or days are negative.
    """
    if months < 0 or days < 0:
        raise ValueError("a conversation is not kept for less than no time")
    years, month_index = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month_index + 1
    last = monthrange(year, month)[1]
    return date(year, month, min(day.day, last)) + timedelta(days=days)


@cache
def can_outlast(*, months: int, days: int, limit_months: int) -> bool:
    """Whether months and days can end on a later date than the limit from some day of the year."""
    return any(
        later_date(day=day, months=months, days=days)
        > later_date(day=day, months=limit_months, days=0)
        for day in _LEAP_CYCLE
    )


@cache
def can_fall_short(*, months: int, days: int, limit_months: int) -> bool:
    """Whether months and days can end on an earlier date than the limit from some day."""
    return any(
        later_date(day=day, months=months, days=days)
        < later_date(day=day, months=limit_months, days=0)
        for day in _LEAP_CYCLE
    )


@cache
def can_end_earlier(time: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether months and days can end on an earlier date than other ones from some day."""
    return any(
        later_date(day=day, months=time[0], days=time[1])
        < later_date(day=day, months=other[0], days=other[1])
        for day in _LEAP_CYCLE
    )


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The UTC instant at which the zone's clocks show the naive wall time, as `due_at` says."""
    # fold=1 means the later of two; in a gap it means the offset from after the gap, and that
    # instant, read back, shows an earlier time than the one asked for.
    later = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if later.astimezone(zone).replace(tzinfo=None) == wall:
        return later
    before, after = later, wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    offset_after = after.astimezone(zone).utcoffset()
    while after - before > timedelta(microseconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == offset_after:
            after = middle
        else:
            before = middle
    return after
