"""Reckons what changed rules would do to the kept conversations of companies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

from django.db import connection

from accounts.models import Controller
from recordings.models import Conversation
from retention.lens import Signature
from retention.matching import Contact
from retention.queries import RuleBook
from retention.simulated_rows import Bars, Counted, Reader, Single
from retention.simulation import EPOCH, Outcome, Simulator, is_between, later_events, runs, same_day
from retention.tally import FIRST, First, Tally

READERS = 2
# Likeness and day of a cell; and who served a conversation, with what bars its destruction.
_Key = tuple[int, int]
Weight = tuple[frozenset[UUID], Bars]


@dataclass(frozen=True, slots=True)
class Books:
    """What one company's rules say, and what they would say."""

    controller: Controller
    old: RuleBook
    new: RuleBook


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is alike for all of a signature: how it is matched, and which teams served."""

    likeness: int
    teams: frozenset[UUID]


@dataclass(slots=True)
class _Cell:
    """Conversations that are matched alike and ended on one day, by who served and what bars."""

    signature: Signature
    first_at: int
    last_at: int
    weights: Counter[Weight] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Affected:
    """Some that are affected, and between which places in the order of going they stand."""

    count: int
    first: First
    last: First
    cell: _Key | None


def total_of(controllers: Iterable[Controller]) -> int:
    """How many conversations there are to reckon."""
    return Conversation.objects.kept().filter(controller__in=list(controllers)).count()


def reckon(
    books: Sequence[Books], *, at: datetime, on_progress: Callable[[int], object]
) -> dict[str, object]:
    """
    Reckon what becomes of every kept conversation of the companies, as values for canonical JSON.

    `on_progress` is told how many more have been counted. The rows are read in pieces, each as it
    stands when it is read.
    """
    tally = Tally()
    for each in books:
        _Reckoning(each, at, tally).run(on_progress)
    return tally.as_json()


class _Reckoning:
    """The reckoning for one company."""

    def __init__(self, books: Books, at: datetime, tally: Tally) -> None:
        self._controller = books.controller
        self._reader = Reader(books.controller, at, books.old, books.new)
        self._simulator = Simulator(books.old, books.new, at)
        self._tally = tally
        self._kinds: dict[Signature, _Kind] = {}
        self._likenesses: dict[Hashable, int] = {}
        self._cells: dict[_Key, _Cell] = {}
        self._outcomes: dict[Outcome, Counter[Weight]] = defaultdict(Counter)
        self._affected: list[_Affected] = []

    def run(self, on_progress: Callable[[int], object]) -> None:
        for rows in self._counted():
            on_progress(sum(self._put(row) for row in rows))
        split = {key for key, cell in self._cells.items() if not self._settle(key, cell)}
        self._settle_one_by_one(split)
        for outcome, weights in self._outcomes.items():
            for (teams, bars), count in weights.items():
                self._tally.add(outcome, self._controller.pk, teams, bars, count)
        self._note_holds()
        self._note_first()

    def _counted(self) -> Iterator[list[Counted]]:
        """The pieces, read by several connections at once: PostgreSQL has most of the work."""
        chunks = self._reader.chunks(total=self._reader.total())
        if len(chunks) == 1:
            yield self._reader.counted(chunks[0])
            return
        with ThreadPoolExecutor(READERS) as readers:
            yield from readers.map(self._read_aside, chunks)

    def _read_aside(self, chunk: tuple[UUID, UUID]) -> list[Counted]:
        try:
            return self._reader.counted(chunk)
        finally:
            connection.close()

    def _put(self, row: Counted) -> int:
        kind = self._kind(row.signature)
        weight = (kind.teams, row.bars)
        total = 0
        for day, count, first_at, last_at in row.days:
            key = (kind.likeness, day)
            cell = self._cells.get(key)
            if cell is None:
                cell = self._cells[key] = _Cell(row.signature, first_at, last_at)
            elif first_at < cell.first_at:
                cell.first_at = first_at
            if last_at > cell.last_at:
                cell.last_at = last_at
            cell.weights[weight] += count
            total += count
        return total

    def _kind(self, signature: Signature) -> _Kind:
        kind = self._kinds.get(signature)
        if kind is None:
            contact = self._contact(signature, EPOCH)
            likeness = self._simulator.likeness(contact)
            kind = self._kinds[signature] = _Kind(
                self._likenesses.setdefault(likeness, len(self._likenesses)),
                frozenset(one.team for one in contact.stretches if one.team is not None),
            )
        return kind

    def _settle(self, key: _Key, cell: _Cell) -> bool:
        """
        Count the cell as one, if nothing divides it.

        A day on which clocks change does, and an event at a time of day between its ends.
        """
        moments = [_moment(cell.first_at), _moment(cell.last_at)]
        zone = self._reader.zone
        if not same_day(moments, zone=zone):
            return False
        first, last = (self._contact(cell.signature, moment) for moment in moments)
        if any(is_between(event, moments, zone=zone) for event in later_events(first)):
            return False
        outcome = self._simulator.outcome(first)
        if outcome != self._simulator.outcome(last):
            return False
        self._outcomes[outcome].update(cell.weights)
        if outcome.is_affected:
            self._affected.append(
                _Affected(cell.weights.total(), self._place(first), self._place(last), key)
            )
        return True

    def _settle_one_by_one(self, keys: Collection[_Key]) -> None:
        for outcome, rows in self._runs(self._of_cells(keys)):
            for row in rows:
                self._outcomes[outcome][self._kind(row.signature).teams, row.bars] += 1
            if outcome.is_affected:
                self._affected += [
                    _Affected(1, place, place, None) for place in self._first_of(rows)
                ]

    def _first_of(self, rows: Sequence[Single]) -> list[First]:
        """Where those of a run stand that can be among the first: ends go up along it."""
        places: list[First] = []
        for row in rows:
            place = self._first(row)
            if (
                len(places) >= FIRST
                and place.new_end is not None
                and place.new_end != places[FIRST - 1].new_end
            ):
                break
            places.append(place)
        return places

    def _note_holds(self) -> None:
        by_matter: dict[UUID | None, list[Single]] = defaultdict(list)
        for row in self._reader.held():
            by_matter[row.matter].append(row)
        for matter, held in by_matter.items():
            assert matter is not None
            for outcome, rows in self._runs(held):
                self._tally.add_held(matter, outcome, len(rows))

    def _note_first(self) -> None:
        """Find who goes first: of the cells that may have one of them, each is looked at."""
        found = 0
        cut: tuple[bool, datetime] | None = None
        for one in sorted(self._affected, key=lambda one: one.first):
            if found >= FIRST:
                break
            found += one.count
            cut = max(cut or one.last.when, one.last.when)
        near = [one for one in self._affected if cut is not None and one.first.when <= cut]
        self._tally.first += [one.first for one in near if one.cell is None]
        for row in self._of_cells([one.cell for one in near if one.cell is not None]):
            self._tally.first.append(self._first(row))
        self._tally.first = sorted(self._tally.first)[:FIRST]

    def _of_cells(self, keys: Collection[_Key]) -> list[Single]:
        wanted = set(keys)
        return [
            row
            for row in self._reader.of_days({day for _likeness, day in wanted})
            if (self._kind(row.signature).likeness, row.day) in wanted
        ]

    def _runs(self, rows: Iterable[Single]) -> Iterable[tuple[Outcome, Sequence[Single]]]:
        """The rows in runs of one outcome, those alike and of one day together."""
        cells: dict[tuple[int, date], list[Single]] = defaultdict(list)
        for row in rows:
            wall = row.ended_at.astimezone(self._reader.zone)
            cells[self._kind(row.signature).likeness, wall.date()].append(row)
        for cell in cells.values():
            if later_events(self._contact(cell[0].signature, cell[0].ended_at)):
                # Its ends are counted from two things: nothing holds for all of the day.
                yield from ((self._outcome(row), [row]) for row in cell)
                continue
            cell.sort(
                key=lambda row: row.ended_at.astimezone(self._reader.zone).replace(tzinfo=None)
            )
            yield from runs(cell, self._outcome)

    def _outcome(self, row: Single) -> Outcome:
        return self._simulator.outcome(self._contact(row.signature, row.ended_at))

    def _contact(self, signature: Signature, ended_at: datetime) -> Contact:
        return self._reader.contact_of(signature, ended_at)

    def _place(self, contact: Contact) -> First:
        ends = self._simulator.ends(contact)
        return First(
            new_end=ends.new,
            old_end=ends.old,
            ended_at=contact.ended_at,
            controller=self._controller.pk,
        )

    def _first(self, row: Single) -> First:
        ends = self._simulator.ends(self._contact(row.signature, row.ended_at))
        return First(
            new_end=ends.new,
            old_end=ends.old,
            ended_at=row.ended_at,
            controller=self._controller.pk,
            conversation=row.conversation,
            is_held=row.bars.held,
        )


def _moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
