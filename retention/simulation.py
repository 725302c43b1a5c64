"""What other rules would do to conversations; exact, and pure over plain values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from retention.matching import Contact, Decision, decide, mismatch

if TYPE_CHECKING:
    from retention.queries import RuleBook

SOON = timedelta(days=30)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = TypeVar("Row")
# What `likeness` has looked at otherwise: the rest of a contact has to be the same.
_SEEN = {
    *("ended_at", "kind", "direction", "duration_seconds", "outcome", "language", "tags"),
    *("stretches", "events", "noticed_months"),
}
_COUNTING = tuple(one.name for one in fields(Contact) if one.name not in _SEEN)


class Due(StrEnum):
    """When a conversation's time is over, seen from the time of the simulation."""

    NOW = "now"
    SOON = "soon"
    LATER = "later"
    NEVER = "never"


class Change(StrEnum):
    """What becomes of an end, or of the use for a purpose."""

    EARLIER = "earlier"
    LATER = "later"
    BEGUN = "begun"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Side:
    """What one book gives: when it is due; if later, in which month where the company is."""

    due: Due
    month: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What becomes of a conversation: all that is counted of it, and nothing that differs in a day.

    `end` says how its end changes, None if it does not; `purposes` how each use changes, by
    purpose: begun and ended are about the time of the simulation, earlier and later about its end.
    """

    old: Side
    new: Side
    end: Change | None
    purposes: tuple[tuple[UUID, Change], ...]

    @property
    def is_affected(self) -> bool:
        """Whether anything changes."""
        return self.end is not None or bool(self.purposes)


@dataclass(frozen=True, slots=True)
class Ends:
    """The end of one conversation under the old and under the new book."""

    old: datetime | None
    new: datetime | None


@dataclass(frozen=True, slots=True)
class Simulator:
    """Two books and a time: says of any contact what the new one would change."""

    old: RuleBook
    new: RuleBook
    at: datetime

    def likeness(self, contact: Contact) -> Hashable:
        """
        What two contacts have in common that differ, for both books, in nothing but their end.

        By which versions speak of it, and by all else that a contact says: what is only matched
        is left out by name, so that what is added to a contact counts until it is left out here.
        """
        versions = frozenset(
            terms.version
            for book in (self.old, self.new)
            for some in (book.terms, book.earlier)
            for terms in some
            if mismatch(terms, contact) is None
        )
        # What had happened when it ended is counted from its end.
        events = frozenset(
            (event, at if at > contact.ended_at else None) for event, at in contact.events.items()
        )
        noticed = frozenset(contact.noticed_months.items())
        return versions, events, noticed, *(getattr(contact, name) for name in _COUNTING)

    def ends(self, contact: Contact) -> Ends:
        """When the contact's time is over under each book."""
        return Ends(*(_end(_decisions(contact, book)) for book in (self.old, self.new)))

    def outcome(self, contact: Contact) -> Outcome:
        """What becomes of the contact."""
        old, new = (_decisions(contact, book) for book in (self.old, self.new))
        old_end, new_end = _end(old), _end(new)
        return Outcome(
            old=self._side(old_end),
            new=self._side(new_end),
            end=_change(old_end, new_end),
            purposes=tuple(
                (purpose, change)
                for purpose in sorted(old.keys() | new.keys())
                if (change := self._use_change(old.get(purpose), new.get(purpose))) is not None
            ),
        )

    def _side(self, end: datetime | None) -> Side:
        if end is None:
            return Side(Due.NEVER, None)
        if end <= self.at:
            return Side(Due.NOW, None)
        month = f"{end.astimezone(self.new.zone):%Y-%m}"
        return Side(Due.SOON if end <= self.at + SOON else Due.LATER, month)

    def _use_change(self, old: datetime | None, new: datetime | None) -> Change | None:
        was_open, is_open = (end is not None and end > self.at for end in (old, new))
        if was_open != is_open:
            return Change.BEGUN if is_open else Change.ENDED
        return _change(old, new) if is_open else None


def _decisions(contact: Contact, book: RuleBook) -> dict[UUID, datetime]:
    found: Iterable[Decision] = decide(
        contact=contact, versions=book.terms, earlier=book.earlier, limits=book.limits
    )
    return {one.purpose: one.until_at for one in found if one.until_at is not None}


def _end(uses: Mapping[UUID, datetime]) -> datetime | None:
    return max(uses.values(), default=None)


def _change(old: datetime | None, new: datetime | None) -> Change | None:
    if old == new:
        return None
    if old is None or new is None:
        return Change.BEGUN if old is None else Change.ENDED
    return Change.EARLIER if new < old else Change.LATER


def same_day(moments: Collection[datetime], *, zone: ZoneInfo) -> bool:
    """Whether the clocks of the zone show one date at these instants, and did not change then."""
    walls = [moment.astimezone(zone) for moment in moments]
    return len({(wall.date(), wall.utcoffset()) for wall in walls}) == 1


def later_events(contact: Contact) -> list[datetime]:
    """When that happened from which time is counted instead of from the contact's end."""
    return [at for at in contact.events.values() if at > contact.ended_at]


def is_between(event: datetime, moments: Collection[datetime], *, zone: ZoneInfo) -> bool:
    """
    Whether the clocks of the zone show, at the event, a time of day within that of the moments.

    Only then may an end that is counted from the event lie between ends that are counted from
    them: elsewhere it comes before all of them, or after all.
    """
    walls = [moment.astimezone(zone).time() for moment in moments]
    return min(walls) <= event.astimezone(zone).time() <= max(walls)


def runs(
    rows: Sequence[Row], outcome: Callable[[Row], Outcome]
) -> Iterator[tuple[Outcome, Sequence[Row]]]:
    """
    Divide rows that are alike but for their end into runs of one outcome, asking of a few only.

    The rows are of one date and in the order of the clock on the wall. There an end is the
    same date for each of them, at a time that does not go back; so whatever is asked of ends with
    a yes or a no changes once at most, and two rows of one outcome have none other between them.
    """
    if not rows:
        return
    first, last = outcome(rows[0]), outcome(rows[-1])
    if first == last:
        yield first, rows
    else:
        middle = len(rows) // 2
        yield from runs(rows[:middle], outcome)
        yield from runs(rows[middle:], outcome)
