"""What is said of a conversation: why it is kept, until when, and who could reach it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from retention.matching import Bound, Mismatch


class Next(StrEnum):
    """What will happen to the conversation next."""

    GONE = "gone"
    GOING = "going"
    HELD = "held"
    REQUEST_OPEN = "request_open"
    UNCOVERED = "uncovered"
    OBSERVED = "observed"
    BRAKED = "braked"
    DUE = "due"
    ENDS = "ends"


class Bar(StrEnum):
    """What keeps a purge run from destroying it, were its time over."""

    HOLD = "hold"
    REQUEST = "request"
    SOURCE_OBSERVED = "source_observed"
    COMPANY_OBSERVED = "company_observed"
    BRAKE = "brake"


class Why(StrEnum):
    """Why of the versions that matched the one decides that does."""

    ONLY = "only"
    LONGEST = "longest"
    OLDER = "older"


@dataclass(frozen=True, slots=True)
class MatchedRule:
    """
    A rule version that speaks of the conversation, and its own end of it.

    `counted_from` is None while the event that `trigger` names has not come: it ends at `cap_at`
    then. `not_until` is the later end that it does not give, since it was made after the
    conversation was captured and neither a statute nor the privacy notice states as much.
    """

    rule: str
    rule_id: UUID
    version: int
    version_id: UUID
    legal_basis: str
    statute: str
    keep_months: int
    keep_days: int
    trigger: str
    counted_from: datetime | None
    cap_at: datetime | None
    until_at: datetime | None
    not_until: datetime | None
    decides: bool
    lacks_article_9_condition: bool
    excludes: bool


@dataclass(frozen=True, slots=True)
class ExplainedPurpose:
    """
    What the rules give for one purpose.

    `until_at` is what is in force for access; `computed_until_at` what the rules give now, which
    differs only while a change of rules is being carried through. `why` the version that decides
    does: the others that could are shorter, or as long and newer; None if none decides. An
    exclusion among the rules closes the purpose, but for what the floor demands.
    """

    purpose: str
    from_at: datetime | None
    until_at: datetime | None
    computed_until_at: datetime | None
    floor_at: datetime | None
    ceiling_at: datetime | None
    bounded_by: Bound | None
    why: Why | None
    rules: tuple[MatchedRule, ...]


@dataclass(frozen=True, slots=True)
class UnmatchedRule:
    """A rule in force that does not speak of the conversation, and why."""

    rule: str
    version: int
    reason: Mismatch


@dataclass(frozen=True, slots=True)
class ExplainedHold:
    """A hold on the conversation, in force or lifted."""

    matter: str
    matter_id: UUID
    placed_at: datetime
    placed_by: str | None
    lifted_at: datetime | None
    lifted_by: str | None


@dataclass(frozen=True, slots=True)
class Reach:
    """
    A person whom the access rule lets reach the content, and by what.

    `through` is a team or a matter and `of` its name; `until_at` is when that ends, None while a
    matter is open.
    """

    name: str
    reference: UUID
    purpose: str
    through: Literal["team", "matter"]
    of: str
    until_at: datetime | None


@dataclass(frozen=True, slots=True)
class Heard:
    """A person who has reached the content: how often, and when last."""

    name: str
    reference: str
    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class CertificateLine:
    """The proof of the destruction as far as it has come."""

    run: UUID
    withdrawn_at: datetime
    key_destroyed_at: datetime | None
    deleted_at: datetime | None
    confirmed_at: datetime | None
    concluded_at: datetime | None
    method: str
    objects: int
    rule_versions: tuple[UUID, ...]
    needs_person: bool
    problem: str
    certificate: UUID | None  # None: it awaits its seal


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    The whole answer; the same rows and the same `at` give the same answer.

    `at` is the time it is about and `asked_at` when it was asked: later if it is replayed. What
    `barred_by` names keeps it from being destroyed; `next` is the first of them.
    """

    conversation: UUID
    at: datetime
    asked_at: datetime
    controller: str
    kind: str
    state: str
    started_at: datetime
    ended_at: datetime
    captured_at: datetime
    notice: str
    destroy_after: datetime | None
    next: Next
    barred_by: tuple[Bar, ...]
    decide_before: datetime | None
    hold_count: int
    open_requests: int
    restricted_at: datetime | None
    closed_at: datetime | None
    withdrawn_at: datetime | None
    key_destroyed_at: datetime | None
    destroyed_at: datetime | None
    purposes: tuple[ExplainedPurpose, ...]
    unmatched: tuple[UnmatchedRule, ...]
    holds: tuple[ExplainedHold, ...]
    reach: tuple[Reach, ...]
    heard: tuple[Heard, ...]
    certificate_line: CertificateLine | None

    def as_json(self) -> dict[str, object]:
        """The answer in values that JSON knows: times as ISO 8601 in UTC, ids as text."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, UUID | StrEnum):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value
