"""Rounds that take turns, their medians, and the line they end in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median

ROUNDS = 3


class Scale(StrEnum):
    """How much is measured: a quick look, or what the promises are about."""

    SMALL = "small"
    FULL = "full"


class WrongAnswer(AssertionError):
    """What is to be timed gives another answer than what it is compared with."""


@dataclass(frozen=True, slots=True)
class Line:
    """
    One result. `value` and `baseline` are in `unit`; `ratio` is value to baseline.

    `rounds` holds the ratio of each round; `ratio` is their median, or None without a baseline.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    rounds: Sequence[float] = field(default_factory=tuple)

    def as_json(self) -> str:
        """Give the line as `make bench` prints it."""
        return json.dumps(
            {
                "name": self.name,
                "value": _rounded(self.value),
                "unit": self.unit,
                "baseline": _rounded(self.baseline),
                "ratio": _rounded(self.ratio),
                "rounds": [_rounded(ratio) for ratio in self.rounds],
            }
        )


def compared(name: str, unit: str, ours: Sequence[float], baseline: Sequence[float]) -> Line:
    """Compare what was measured round by round."""
    ratios = [mine / other for mine, other in zip(ours, baseline, strict=True)]
    return Line(name, median(ours), unit, median(baseline), median(ratios), ratios)


def take_turns(
    *measures: Callable[[int], float], rounds: int = ROUNDS
) -> tuple[tuple[float, ...], ...]:
    """
    Measure each in every round, and give what each one measured.

    Every second round goes backwards, so that none of them always comes after the same one. Each
    is told the number of the round, for keys of its own.
    """
    found: list[list[float]] = [[] for _ in measures]
    for number in range(rounds):
        places = range(len(measures))
        for place in places if number % 2 == 0 else reversed(places):
            found[place].append(measures[place](number))
    return tuple(tuple(values) for values in found)


def seconds(deed: Callable[[], object]) -> float:
    """Say how long it takes, in seconds."""
    began = time.perf_counter()
    deed()
    return time.perf_counter() - began


def require_same(found: object, expected: object, what: str) -> None:
    """Raises: WrongAnswer unless they are equal."""
    if found != expected:
        raise WrongAnswer(f"{what}: not the answer it is compared with.")


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
