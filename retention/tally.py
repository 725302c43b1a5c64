"""What is counted of a simulation, and the form in which it is kept; pure, over plain values."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import total_ordering
from typing import TYPE_CHECKING, Any
from uuid import UUID

from retention.simulation import Change, Due, Outcome

if TYPE_CHECKING:
    from retention.simulated_rows import Bars

VERSION = 1
# How many of those affected are named.
FIRST = 20
_LAST_OF_ALL = UUID(int=0)


@total_ordering
@dataclass(frozen=True, slots=True)
class First:
    """One that is affected; ordered by when it would go, what would never go at the end."""

    new_end: datetime | None
    old_end: datetime | None
    ended_at: datetime
    controller: UUID
    conversation: UUID = _LAST_OF_ALL
    is_held: bool = False

    @property
    def when(self) -> tuple[bool, datetime]:
        """When it would go, for comparing."""
        return self.new_end is None, self.new_end or self.ended_at

    def __lt__(self, other: First) -> bool:
        """Whether it would go before the other."""
        return (self.when, self.conversation) < (other.when, other.conversation)


@dataclass(slots=True)
class Tally:
    """Counts conversations by what becomes of them."""

    first: list[First] = field(default_factory=list)
    _all: Counter[str] = field(default_factory=Counter)
    _companies: dict[UUID, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _teams: dict[UUID | None, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _purposes: dict[UUID, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _months: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _matters: dict[UUID, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(
        self, outcome: Outcome, controller: UUID, teams: Collection[UUID], bars: Bars, count: int
    ) -> None:
        """Count so many of one outcome, each of which these teams served."""
        names = _names(outcome, bars)
        for counter in (
            self._all,
            self._companies[controller],
            *(self._teams[team] for team in (teams or (None,))),
        ):
            for name in names:
                counter[name] += count
        for purpose, change in outcome.purposes:
            self._purposes[purpose][change] += count
        for side, month in (("old", outcome.old.month), ("new", outcome.new.month)):
            if month is not None:
                self._months[month][side] += count

    def add_held(self, matter: UUID, outcome: Outcome, count: int) -> None:
        """Count so many that a matter holds."""
        if outcome.new.due in (Due.NOW, Due.SOON):
            self._matters[matter][outcome.new.due] += count

    def as_json(self) -> dict[str, object]:
        """The counts, in values for canonical JSON: ids as text, lists in one order."""
        return {
            "v": VERSION,
            "all": _shown(self._all),
            "companies": _rows("controller", self._companies, _shown),
            "teams": _rows("team", self._teams, _shown),
            "purposes": _rows(
                "purpose", self._purposes, lambda one: {name.value: one[name] for name in Change}
            ),
            "months": _rows(
                "month", self._months, lambda one: {side: one[side] for side in ("old", "new")}
            ),
            "matters": _rows(
                "matter",
                self._matters,
                lambda one: {name.value: one[name] for name in (Due.NOW, Due.SOON)},
            ),
            "first": [
                {
                    "conversation": str(one.conversation),
                    "controller": str(one.controller),
                    "ended_at": instant(one.ended_at),
                    "old_end": instant(one.old_end),
                    "new_end": instant(one.new_end),
                    "held": one.is_held,
                }
                for one in self.first
            ],
        }


# What is counted for everything, each company and each team. `now_…` and `soon_…` are those whose
# time is over today or within 30 days, under the old and the new rules; `now_more` and `soon_more`
# those of the new that the old leave longer; what bars those of today is counted besides.
COUNTS = (
    *("total", "affected", "earlier", "later", "begun", "ended"),
    *("now_old", "now_new", "now_more", "soon_old", "soon_new", "soon_more"),
    *("never_old", "never_new", "held", "requested", "observed", "going"),
)


def _names(outcome: Outcome, bars: Bars) -> list[str]:
    names = ["total"]
    if outcome.is_affected:
        names.append("affected")
    if outcome.end is not None:
        names.append(outcome.end)
    for side, due in (("old", outcome.old.due), ("new", outcome.new.due)):
        if due is not Due.LATER:
            names.append(f"{due}_{side}")
    if outcome.new.due is Due.NOW:
        if outcome.old.due is not Due.NOW:
            names.append("now_more")
        barred = [name for name, is_so in bars._asdict().items() if is_so]
        names.append(barred[0] if barred else "going")
    if outcome.new.due is Due.SOON and outcome.old.due in (Due.LATER, Due.NEVER):
        names.append("soon_more")
    return names


def _shown(counter: Counter[str]) -> dict[str, object]:
    return {name: counter[name] for name in COUNTS}


def _rows(
    name: str,
    counters: Mapping[Any, Counter[str]],
    shown: Callable[[Counter[str]], dict[str, object]],
) -> list[dict[str, object]]:
    return [
        {name: None if key is None else str(key), **shown(counters[key])}
        for key in sorted(counters, key=lambda key: (key is None, str(key)))
    ]


def instant(at: datetime | None) -> str | None:
    """A time as text: ISO 8601 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None
