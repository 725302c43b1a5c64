"""The forms that facts of events have; none can hold a name, an address or free text."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from uuid import UUID

from audit.events import EventRefused, is_reference, is_uuid

LARGEST_COUNT = 1_000_000_000
LARGEST_BYTES = 2**53 - 1
LONGEST_LIST = 200


class FactKind(Enum):
    """The forms a fact can have; none can hold a name, an address or free text."""

    UUID = "uuid"
    UUIDS = "uuids"
    CODE = "code"
    CODES = "codes"
    COUNT = "count"
    BYTES = "bytes"
    FLAG = "flag"
    INSTANT = "instant"
    DIGEST = "digest"


def instant(at: datetime) -> str:
    """An aware datetime as events hold it: UTC, microseconds, `Z`."""
    if at.tzinfo is None:
        raise EventRefused("A time without a zone is no instant.")
    # A fifth of what strftime takes, and each event has two.
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _uuid(value: object) -> str | None:
    text = str(value) if isinstance(value, UUID | str) else ""
    return text if is_uuid(text) else None


def _code(value: object) -> str | None:
    return str(value) if isinstance(value, str) and is_reference(value) else None


def _integer_up_to(largest: int) -> Callable[[object], int | None]:
    def written(value: object) -> int | None:
        return value if type(value) is int and 0 <= value <= largest else None

    return written


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _list_of(one: Callable[[object], str | None]) -> Callable[[object], list[str] | None]:
    def written(value: object) -> list[str] | None:
        if not isinstance(value, list) or len(value) > LONGEST_LIST:
            return None
        members = [text for member in value if (text := one(member)) is not None]
        return members if len(members) == len(value) else None

    return written


def _instant(value: object) -> str | None:
    if isinstance(value, datetime):
        return instant(value)
    sound = isinstance(value, str) and re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", value
    )
    return str(value) if sound else None


def _digest(value: object) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) else None


WRITERS: Mapping[FactKind, Callable[[object], object]] = {
    FactKind.UUID: _uuid,
    FactKind.UUIDS: _list_of(_uuid),
    FactKind.CODE: _code,
    FactKind.CODES: _list_of(_code),
    FactKind.COUNT: _integer_up_to(LARGEST_COUNT),
    FactKind.BYTES: _integer_up_to(LARGEST_BYTES),
    FactKind.FLAG: _flag,
    FactKind.INSTANT: _instant,
    FactKind.DIGEST: _digest,
}
