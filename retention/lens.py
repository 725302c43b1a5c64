"""What rules tell apart of conversations: as SQL that counts those alike, and read back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from retention.contacts import Facts
from retention.matching import ENDED_AT, Stretch, Terms
from retention.models import BusinessEvent
from retention.simulation import EPOCH

Signature = tuple[str | None, ...]

# Columns that are compared with a list of a rule's.
_LISTED = {
    "kind": "kinds",
    "direction": "directions",
    "outcome": "outcomes",
    "language": "languages",
}
_EVENTS = tuple(sorted(BusinessEvent.Type.values))
# Listed columns, tags, duration, time of capture, notice, events, teams, queues.
WIDTH = len(_LISTED) + 4 + len(_EVENTS) + 2
_NONE, _EMPTY = "NULL::text", "''::text"

_KINDS = {event: BusinessEvent.REFERS_TO[BusinessEvent.Type(event)].value for event in _EVENTS}
_KIND_OF_EVENT = " ".join(f"WHEN '{event}' THEN '{kind}'" for event, kind in _KINDS.items())
# Of events for one reference that was recorded last; see `retention.event_queries.events_of`.
KNOWN = f"""
known AS (
    SELECT DISTINCT ON (event_type, reference_hash)
        CASE event_type {_KIND_OF_EVENT} END AS kind, reference_hash, happened_at
    FROM retention_businessevent
    WHERE controller_id = %(controller)s AND recorded_at <= %(at)s
    ORDER BY event_type, reference_hash, recorded_at DESC, id DESC
)"""  # noqa: S608 (parts that stand here)
# Of all that a conversation is about each must have met its end; the last counts.
HAPPENED = ", ".join(
    f"CASE WHEN bool_and(k.happened_at IS NOT NULL) FILTER (WHERE r.kind = '{kind}')"
    f" THEN max(k.happened_at) FILTER (WHERE r.kind = '{kind}') END AS at_{place}"
    for place, kind in enumerate(_KINDS.values())
)
REFERENCES = """
recordings_businessreference r
LEFT JOIN known k ON k.kind = r.kind AND k.reference_hash = r.reference_hash"""


@dataclass(frozen=True, slots=True)
class Lens:
    """
    What the terms concerned look at.

    `durations` are the bounds in order, in seconds: whether the bound itself lies below, and by
    that among the shorter ones. `captures` are the times at which versions began or ended.
    `events` are types; those of `notices` state some time.
    """

    columns: frozenset[str]
    tags: tuple[str, ...]
    durations: tuple[tuple[int, bool], ...]
    captures: tuple[datetime, ...]
    notices: tuple[str, ...]
    events: frozenset[str]

    @property
    def signature(self) -> str:
        """The signature of a row `c`, with `s` for who served and `e` for events, as columns."""
        return ", ".join(
            [
                *(f"c.{name}::text" if name in self.columns else _EMPTY for name in _LISTED),
                " || ".join(
                    f"jsonb_exists(c.tags, %(tag_{place})s)::int::text"
                    for place in range(len(self.tags))
                )
                or _EMPTY,
                _count(
                    f"c.duration_seconds {'>' if is_below else '>='} {bound:d}"
                    for bound, is_below in self.durations
                ),
                _count(
                    f"c.captured_at >= %(capture_{place})s" for place in range(len(self.captures))
                ),
                "CASE WHEN c.notice = ANY(%(notices)s) THEN c.notice ELSE '' END"
                if self.notices
                else _EMPTY,
                *(self._event(place, event) for place, event in enumerate(_EVENTS)),
                "s.teams::text",
                "s.queues::text",
            ]
        )

    @property
    def values(self) -> dict[str, Any]:
        """What the SQL is to be given."""
        return {
            "notices": list(self.notices),
            **{f"tag_{place}": tag for place, tag in enumerate(self.tags)},
            **{f"capture_{place}": at for place, at in enumerate(self.captures)},
        }

    def facts(self, signature: Signature, *, ended_at: datetime) -> Facts:
        """What matching looks at: of all that have the signature, one that it sees as each."""
        kind, direction, outcome, language, tags, duration, captured, notice = signature[:8]
        return Facts(
            kind=kind or "",
            direction=direction or "",
            outcome=outcome or "",
            language=language or "",
            tags=frozenset(
                tag for tag, has in zip(self.tags, tags or "", strict=True) if has == "1"
            ),
            duration_seconds=self._duration(int(duration or 0)),
            captured_at=(EPOCH, *self.captures)[int(captured or 0)],
            notice=notice or "",
            events={
                event: _instant(text) if text else ended_at
                for event, text in zip(_EVENTS, signature[8:-2], strict=True)
                if text is not None
            },
        )

    def _duration(self, passed: int) -> float:
        if not passed:
            return -1.0
        bound, is_below = self.durations[passed - 1]
        return bound + 0.5 if is_below else float(bound)

    def _event(self, place: int, event: str) -> str:
        """Empty for what had happened when the conversation ended, else microseconds of 1970."""
        if event not in self.events:
            return _NONE
        return (
            f"CASE WHEN e.at_{place} <= c.ended_at THEN '' ELSE "
            f"((extract(epoch FROM e.at_{place}) * 1000000)::bigint)::text END"
        )


def lens_for(terms: Iterable[Terms], *, notices: Iterable[str]) -> Lens:
    """What those terms look at."""
    concerned = list(terms)
    bounds = {(one.shortest_seconds, False) for one in concerned} | {
        (one.longest_seconds, True) for one in concerned
    }
    changes = {one.in_force_from for one in concerned} | {
        one.in_force_until for one in concerned if one.in_force_until is not None
    }
    return Lens(
        columns=frozenset(
            name
            for name, of_rule in _LISTED.items()
            if any(getattr(one, of_rule) for one in concerned)
        ),
        tags=tuple(sorted({tag for one in concerned for tag in one.tags})),
        durations=tuple(
            sorted((bound, is_below) for bound, is_below in bounds if bound is not None)
        ),
        captures=tuple(sorted(at for at in changes if at > EPOCH)),
        notices=tuple(sorted(notices)),
        events=frozenset(one.trigger for one in concerned if one.trigger != ENDED_AT),
    )


def stretches(signature: Signature) -> list[Stretch]:
    """Who served, segment by segment."""
    teams, queues = signature[-2:]
    return [Stretch(team, queue) for team, queue in zip(_ids(teams), _ids(queues), strict=True)]


def _count(conditions: Iterable[str]) -> str:
    """How many of the conditions hold, as text."""
    terms: Sequence[str] = [f"({condition})::int" for condition in conditions]
    return f"({' + '.join(terms)})::text" if terms else _EMPTY


def _instant(text: str) -> datetime:
    return EPOCH + timedelta(microseconds=int(text))


def _ids(text: str | None) -> list[UUID | None]:
    """The ids in an array that PostgreSQL has written as text."""
    if not text or text == "{}":
        return []
    return [None if word == "NULL" else UUID(word) for word in text[1:-1].split(",")]
