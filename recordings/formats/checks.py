"""What every text and time from outside must satisfy before anything is done with it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from recordings.formats.incoming import CannotCapture

MAX_DEPTH = 64
EARLIEST_YEAR = 1990
LATEST_YEAR = 2099

_RFC3339 = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})[Tt ](?P<time>\d{2}:\d{2}:\d{2})(?P<fraction>[.,]\d{1,9})?"
    r"(?P<zone>[Zz]|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
_SCHEMES = {"tel": "tel:", "mailto": "mailto:", "sip": "sip:"}


class ZoneMissing(CannotCapture):
    """A time without a zone, where none may be assumed."""


def parse_json(raw: bytes, *, what: str) -> Any:
    """
    Decode one JSON value; `what` names it in the refusal ("The line", "The file").

    Raises:
        CannotCapture: not JSON (RFC 8259) in UTF-8, nested deeper than MAX_DEPTH, or holding
            text that a database cannot: NUL, and halves of surrogate pairs.
    """
    try:
        value = orjson.loads(raw.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise CannotCapture(_why_not_json(str(error), what)) from None
    _refuse_unstorable(value, what)
    return value


def _why_not_json(message: str, what: str) -> str:
    if "surrogate" in message:
        return f"{what} holds half a surrogate pair, which is not a character."
    if "UTF-8" in message:
        return f"{what} is not UTF-8."
    if "depth limit" in message:
        return f"{what} is nested deeper than {MAX_DEPTH} levels."
    return f"{what} is not valid JSON."


def _refuse_unstorable(value: Any, what: str) -> None:
    # A loop, not recursion: the depth is the sender's choice.
    pending: list[tuple[Any, int]] = [(value, 1)]
    while pending:
        current, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise CannotCapture(f"{what} is nested deeper than {MAX_DEPTH} levels.")
        if isinstance(current, str):
            if "\x00" in current:
                raise CannotCapture(f"{what} holds the character NUL, which cannot be kept.")
        elif isinstance(current, dict):
            pending.extend((part, depth + 1) for part in current)
            pending.extend((part, depth + 1) for part in current.values())
        elif isinstance(current, list):
            pending.extend((part, depth + 1) for part in current)


def parse_time(text: str, *, field: str, assume_utc: bool = False) -> tuple[datetime, bool]:
    """
    Read an RFC 3339 time; gives it in UTC, and whether its zone had to be assumed.

    Raises:
        ZoneMissing: it has no zone and `assume_utc` is false.
        CannotCapture: it is no time, or lies outside the years that can be right.

    Source: RFC 3339 section 5.6.
    """
    match = _RFC3339.fullmatch(text.strip())
    if match is None:
        raise CannotCapture(f"Field {field} is not a time of the form 2026-01-31T12:00:00+02:00.")
    zone = match["zone"]
    if zone is None and not assume_utc:
        raise ZoneMissing(f"Field {field} has no time zone.")
    fraction = (match["fraction"] or ".0").replace(",", ".")[:7]
    offset = "+00:00" if zone in (None, "Z", "z") else zone
    try:
        moment = datetime.fromisoformat(f"{match['day']}T{match['time']}{fraction}{offset}")
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise CannotCapture(f"Field {field} is a time that does not exist.") from None
    if not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
        raise CannotCapture(
            f"Field {field} lies outside the years {EARLIEST_YEAR} to {LATEST_YEAR}."
        )
    return moment, zone is None


def later(moment: datetime, seconds: float) -> datetime:
    """
    The moment so many seconds later.

    Raises:
        CannotCapture: that is no time a conversation can end at.
    """
    try:
        end = moment + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        raise CannotCapture("A duration is too long.") from None
    if end.year > LATEST_YEAR:
        raise CannotCapture("A duration is too long.")
    return end


def identifier(kind: str, value: str) -> tuple[str, str]:
    """A pair of kind and value, without the URI scheme that some senders put before the value."""
    value = value.strip()
    scheme = _SCHEMES.get(kind, "")
    if scheme and value.lower().startswith(scheme):
        value = value[len(scheme) :].strip()
    return kind, value
