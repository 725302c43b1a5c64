"""Which rules speak of a conversation, and what they permit together; pure, over plain values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from retention.due_dates import due_at


class Matchers(Protocol):
    """What rules and criteria alike say of the conversations they speak of; empty matches all."""

    @property
    def kinds(self) -> Collection[str]:
        """Kinds of conversation, one of which it is."""

    @property
    def teams(self) -> Collection[UUID]:
        """Teams by id, one of which served a segment of it."""

    @property
    def queues(self) -> Collection[UUID]:
        """Queues by id, by one of which the same segment came."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What one rule version says; empty `kinds`, `teams`, `queues` match every one."""

    version: UUID
    purpose: UUID
    kinds: frozenset[str]
    teams: frozenset[UUID]
    queues: frozenset[UUID]
    keep_months: int
    keep_days: int
    has_article_9_condition: bool


@dataclass(frozen=True, slots=True)
class Limit:
    """The shortest and the longest that a purpose allows, in calendar months; None is no bound."""

    floor_months: int | None
    ceiling_months: int | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """One segment of a conversation: the team that served and the queue it came by."""

    team: UUID | None
    queue: UUID | None


@dataclass(frozen=True, slots=True)
class Contact:
    """What matching needs to know of a conversation."""

    kind: str
    ended_at: datetime
    stretches: tuple[Stretch, ...]
    may_hold_health_data: bool
    zone: ZoneInfo


class Bound(StrEnum):
    """What moved the end that the longest rule gave."""

    FLOOR = "floor"
    CEILING = "ceiling"


@dataclass(frozen=True, slots=True)
class Match:
    """A rule version that speaks of the conversation; `until_at` is its own end, unbounded."""

    version: UUID
    until_at: datetime
    lacks_article_9_condition: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """
    What the rules give for one purpose.

    `decides` is the version whose time is the longest, None when the purpose stays closed because
    every rule that matches lacks the condition of GDPR Art. 9 that health data needs. `until_at`
    is its end within floor and ceiling.
    """

    purpose: UUID
    matches: tuple[Match, ...]
    decides: UUID | None
    until_at: datetime | None
    floor_at: datetime | None
    ceiling_at: datetime | None
    bounded_by: Bound | None


class Mismatch(StrEnum):
    """Why a version does not speak of a conversation."""

    KIND = "kind"
    TEAM_OR_QUEUE = "team_or_queue"


def mismatch(terms: Terms, contact: Contact) -> Mismatch | None:
    """
    Why the version does not speak of the contact, or None if it does.

    It asks for the kind, and for one segment that has both the team and the queue.
    """
    if terms.kinds and contact.kind not in terms.kinds:
        return Mismatch.KIND
    if not terms.teams and not terms.queues:
        return None
    fits = any(
        (not terms.teams or stretch.team in terms.teams)
        and (not terms.queues or stretch.queue in terms.queues)
        for stretch in contact.stretches
    )
    return None if fits else Mismatch.TEAM_OR_QUEUE


def decide(
    *, contact: Contact, versions: Iterable[Terms], limits: Mapping[UUID, Limit]
) -> tuple[Decision, ...]:
    """
    Return one decision per purpose that some version speaks of, in the order of purpose ids.

    `limits` are by purpose. The same values give the same decisions in any order of `versions`:
    of two versions with the same end the one with the lower id, which is the older, decides.

    Source: design, *Purpose-bound retention*; GDPR Art. 5(1)(e) and Art. 9(2).
    """
    by_purpose: dict[UUID, list[Match]] = {}
    for terms in versions:
        if mismatch(terms, contact) is None:
            by_purpose.setdefault(terms.purpose, []).append(_match(terms, contact))
    return tuple(
        _decision(purpose, found, limits.get(purpose), contact)
        for purpose, found in sorted(by_purpose.items())
    )


def _match(terms: Terms, contact: Contact) -> Match:
    return Match(
        version=terms.version,
        until_at=due_at(
            trigger_at=contact.ended_at,
            months=terms.keep_months,
            days=terms.keep_days,
            zone=contact.zone,
        ),
        lacks_article_9_condition=(
            contact.may_hold_health_data and not terms.has_article_9_condition
        ),
    )


def _decision(purpose: UUID, found: list[Match], limit: Limit | None, contact: Contact) -> Decision:
    oldest_first = sorted(found, key=lambda match: match.version)
    ordered = tuple(sorted(oldest_first, key=lambda match: match.until_at, reverse=True))
    floor_at = _months_later(limit.floor_months if limit else None, contact)
    ceiling_at = _months_later(limit.ceiling_months if limit else None, contact)
    longest = next((match for match in ordered if not match.lacks_article_9_condition), None)
    until_at = longest.until_at if longest else None
    bounded_by = None
    if until_at is not None and floor_at is not None and until_at < floor_at:
        until_at, bounded_by = floor_at, Bound.FLOOR
    if until_at is not None and ceiling_at is not None and until_at > ceiling_at:
        until_at, bounded_by = ceiling_at, Bound.CEILING
    return Decision(
        purpose=purpose,
        matches=ordered,
        decides=longest.version if longest else None,
        until_at=until_at,
        floor_at=floor_at,
        ceiling_at=ceiling_at,
        bounded_by=bounded_by,
    )


def _months_later(months: int | None, contact: Contact) -> datetime | None:
    if months is None:
        return None
    return due_at(trigger_at=contact.ended_at, months=months, days=0, zone=contact.zone)
