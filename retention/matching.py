"""Which rules speak of a conversation, and what they permit together; pure, over plain values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from retention.due_dates import due_at

ENDED_AT = "ended_at"
_ALWAYS = datetime.min.replace(tzinfo=UTC)


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
    """
    What one rule version says; an empty set, and None as a bound, match every one.

    It speaks from `in_force_from` until `in_force_until`, which is None for the version that is in
    force. `cap_months` is there if and only if `trigger` is an event.
    """

    version: UUID
    purpose: UUID
    kinds: frozenset[str] = frozenset()
    teams: frozenset[UUID] = frozenset()
    queues: frozenset[UUID] = frozenset()
    directions: frozenset[str] = frozenset()
    outcomes: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    shortest_seconds: int | None = None
    longest_seconds: int | None = None
    is_exclusion: bool = False
    trigger: str = ENDED_AT
    keep_months: int = 0
    keep_days: int = 0
    cap_months: int | None = None
    has_article_9_condition: bool = False
    cites_statute: bool = False
    in_force_from: datetime = _ALWAYS
    in_force_until: datetime | None = None


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
    """
    What matching needs to know of a conversation.

    `events` says when what it is about met its end, by type of event, as far as that has happened.
    `noticed_months` is how long the privacy notice it was captured under states, by purpose.
    Without `captured_at` it is taken to be newer than every rule.
    """

    kind: str
    ended_at: datetime
    stretches: tuple[Stretch, ...]
    may_hold_health_data: bool
    zone: ZoneInfo
    direction: str = ""
    duration_seconds: float = 0.0
    outcome: str = ""
    language: str = ""
    tags: frozenset[str] = frozenset()
    events: Mapping[str, datetime] = field(default_factory=dict)
    captured_at: datetime | None = None
    noticed_months: Mapping[UUID, int] = field(default_factory=dict)


class Bound(StrEnum):
    """What moved the end that the longest rule gave."""

    FLOOR = "floor"
    CEILING = "ceiling"
    EXCLUSION = "exclusion"


@dataclass(frozen=True, slots=True)
class Match:
    """
    A rule version that speaks of the conversation; `until_at` is its own end, unbounded.

    `counted_from` is what the time is counted from, None while the event has not come and the end
    is the cap. `not_until` is the later end that it would have given, had it not been made after
    the conversation was captured: nothing had said so long to the customer.
    """

    version: UUID
    until_at: datetime
    lacks_article_9_condition: bool
    counted_from: datetime | None
    cap_at: datetime | None = None
    not_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """
    What the rules give for one purpose.

    `decides` is the version whose time is the longest, None when the purpose stays closed: because
    of an exclusion, named by `excluded_by`, or because every rule that matches lacks the condition
    of GDPR Art. 9 that health data needs. `until_at` is its end within floor and ceiling; an
    exclusion leaves what the floor demands.
    """

    purpose: UUID
    matches: tuple[Match, ...]
    decides: UUID | None
    until_at: datetime | None
    floor_at: datetime | None
    ceiling_at: datetime | None
    bounded_by: Bound | None
    excluded_by: UUID | None = None


class Mismatch(StrEnum):
    """Why a version does not speak of a conversation."""

    KIND = "kind"
    DIRECTION = "direction"
    DURATION = "duration"
    OUTCOME = "outcome"
    LANGUAGE = "language"
    TAGS = "tags"
    TEAM_OR_QUEUE = "team_or_queue"


def mismatch(terms: Terms, contact: Contact) -> Mismatch | None:
    """
    Why the version does not speak of the contact, or None if it does.

    Of a list, one must be there: one of the tags, and one segment that has both a team and a queue
    that are named. The bounds of the duration are included. A language that is named matches its
    regional forms too, as in RFC 4647 (basic filtering): `sv` matches `sv-FI`. What is not known
    of a contact matches nothing that is named.

    `retention.queries.matched_by` says the same in SQL.
    """
    if terms.kinds and contact.kind not in terms.kinds:
        return Mismatch.KIND
    if terms.directions and contact.direction not in terms.directions:
        return Mismatch.DIRECTION
    shortest, longest = terms.shortest_seconds, terms.longest_seconds
    if shortest is not None and contact.duration_seconds < shortest:
        return Mismatch.DURATION
    if longest is not None and contact.duration_seconds > longest:
        return Mismatch.DURATION
    if terms.outcomes and contact.outcome not in terms.outcomes:
        return Mismatch.OUTCOME
    if terms.languages and not any(_is_form_of(contact.language, one) for one in terms.languages):
        return Mismatch.LANGUAGE
    if terms.tags and not terms.tags & contact.tags:
        return Mismatch.TAGS
    if not terms.teams and not terms.queues:
        return None
    fits = any(
        (not terms.teams or stretch.team in terms.teams)
        and (not terms.queues or stretch.queue in terms.queues)
        for stretch in contact.stretches
    )
    return None if fits else Mismatch.TEAM_OR_QUEUE


def decide(
    *,
    contact: Contact,
    versions: Iterable[Terms],
    limits: Mapping[UUID, Limit],
    earlier: Iterable[Terms] = (),
) -> tuple[Decision, ...]:
    """
    Return one decision per purpose that some version speaks of, in the order of purpose ids.

    `versions` are in force, `earlier` were before. `limits` are by purpose. The same values give
    the same decisions in any order of versions: of two with the same end the one with the lower id,
    which is the older, decides.

    A version that was made after the contact was captured gives it more time than what held before
    only if it cites a statute or the notice it was captured under states as much.

    Source: design, *Purpose-bound retention*; GDPR Art. 5(1)(e), Art. 9(2) and Art. 13(2)(a).
    """
    speaking = [terms for terms in versions if mismatch(terms, contact) is None]
    by_purpose = _matched(speaking, contact)
    if any(_is_barred(match) for found in by_purpose.values() for match in found):
        before = [terms for terms in earlier if mismatch(terms, contact) is None]
        by_purpose = _shortened(by_purpose, _held_before([*before, *speaking], contact))
    exclusions: dict[UUID, UUID] = {}
    for terms in speaking:
        if terms.is_exclusion:
            known = exclusions.get(terms.purpose, terms.version)
            exclusions[terms.purpose] = min(known, terms.version)
    return tuple(
        _decision(
            purpose,
            by_purpose.get(purpose, []),
            limits.get(purpose),
            contact,
            exclusions.get(purpose),
        )
        for purpose in sorted(by_purpose.keys() | exclusions.keys())
    )


def _is_form_of(language: str, named: str) -> bool:
    said, wanted = language.lower(), named.lower()
    return said == wanted or said.startswith(f"{wanted}-")


def _matched(speaking: Iterable[Terms], contact: Contact) -> dict[UUID, list[Match]]:
    by_purpose: dict[UUID, list[Match]] = {}
    for terms in speaking:
        if not terms.is_exclusion:
            by_purpose.setdefault(terms.purpose, []).append(_match(terms, contact))
    return by_purpose


def _match(terms: Terms, contact: Contact) -> Match:
    cap_at = _months_later(terms.cap_months, contact)
    counted_from: datetime | None = contact.ended_at
    if terms.trigger != ENDED_AT:
        # What had met its end before the customer called is counted from her call.
        happened_at = contact.events.get(terms.trigger)
        counted_from = happened_at and max(happened_at, contact.ended_at)
    own_end = counted_from and due_at(
        trigger_at=counted_from,
        months=terms.keep_months,
        days=terms.keep_days,
        zone=contact.zone,
    )
    ends = [end for end in (own_end, cap_at) if end is not None]
    if not ends:
        raise ValueError("a time that is counted from an event needs a cap")
    until_at = min(ends)
    return Match(
        version=terms.version,
        until_at=until_at,
        lacks_article_9_condition=(
            contact.may_hold_health_data and not terms.has_article_9_condition
        ),
        counted_from=counted_from,
        cap_at=cap_at,
        not_until=None if _may_lengthen(terms, contact, until_at) else until_at,
    )


def _may_lengthen(terms: Terms, contact: Contact, until_at: datetime) -> bool:
    if contact.captured_at is None or terms.in_force_from <= contact.captured_at:
        return True
    noticed_at = _months_later(contact.noticed_months.get(terms.purpose), contact)
    return terms.cites_statute or (noticed_at is not None and until_at <= noticed_at)


def _is_barred(match: Match) -> bool:
    return match.not_until is not None


@dataclass(slots=True)
class _Held:
    """The last end that rules gave, by purpose, and to the whole conversation."""

    by_purpose: dict[UUID, datetime] = field(default_factory=dict)
    whole: datetime | None = None


def _held_before(history: Sequence[Terms], contact: Contact) -> _Held:
    """Go through the changes of rules since the contact was captured, up to the last but one."""
    captured_at = contact.captured_at
    assert captured_at is not None
    changes = {terms.in_force_from for terms in history} | {
        terms.in_force_until for terms in history if terms.in_force_until is not None
    }
    moments = sorted({captured_at} | {at for at in changes if at > captured_at})
    held = _Held()
    for moment in moments[:-1]:
        speaking = [
            terms
            for terms in history
            if terms.in_force_from <= moment
            and (terms.in_force_until is None or moment < terms.in_force_until)
        ]
        excluded = {terms.purpose for terms in speaking if terms.is_exclusion}
        by_purpose = _shortened(_matched(speaking, contact), held)
        ends = {
            purpose: max(match.until_at for match in allowed)
            for purpose, found in by_purpose.items()
            if purpose not in excluded
            and (allowed := [match for match in found if not match.lacks_article_9_condition])
        }
        held.by_purpose |= ends
        held.whole = max(ends.values(), default=held.whole)
    return held


def _shortened(by_purpose: Mapping[UUID, list[Match]], held: _Held) -> dict[UUID, list[Match]]:
    """
    Give those that may not lengthen the earlier end, if that is earlier.

    A purpose that was closed before may last as long as the conversation did.
    """
    return {
        purpose: [_kept_to(match, held.by_purpose.get(purpose, held.whole)) for match in found]
        for purpose, found in by_purpose.items()
    }


def _kept_to(match: Match, before: datetime | None) -> Match:
    if not _is_barred(match) or before is None or match.until_at <= before:
        return replace(match, not_until=None)
    return replace(match, until_at=before)


def _decision(
    purpose: UUID,
    found: list[Match],
    limit: Limit | None,
    contact: Contact,
    excluded_by: UUID | None,
) -> Decision:
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
    if until_at is not None and excluded_by is not None:
        demanded = floor_at if floor_at is not None and floor_at > contact.ended_at else None
        until_at, bounded_by = demanded, Bound.EXCLUSION
    return Decision(
        purpose=purpose,
        matches=ordered,
        decides=longest.version if longest and until_at else None,
        until_at=until_at,
        floor_at=floor_at,
        ceiling_at=ceiling_at,
        bounded_by=bounded_by,
        excluded_by=excluded_by,
    )


def _months_later(months: int | None, contact: Contact) -> datetime | None:
    if months is None:
        return None
    return due_at(trigger_at=contact.ended_at, months=months, days=0, zone=contact.zone)
