"""What a page shows of a simulation: names for ids, the changes in words, bars for months."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from accounts.models import Controller, Purpose, Team
from retention import wording
from retention.changes import loads, version_of
from retention.models import Matter, Simulation

CHART_WIDTH, CHART_HEIGHT = 1000.0, 100.0
# More months than these are shown by year.
MOST_MONTHS = 36
_GAP = 0.2


@dataclass(frozen=True, slots=True)
class Step:
    """How many go in one stretch of time under the old and under the new rules."""

    label: str
    old: int
    new: int


def shown(simulation: Simulation) -> dict[str, Any]:
    """The result of a finished simulation, as its template wants it."""
    result = json.loads(simulation.result)
    steps = list(_steps(result))
    return {
        "counts": result["all"],
        "companies": _named(result["companies"], "controller", _names(Controller, result)),
        "teams": _named(result["teams"], "team", _names(Team, result)),
        "purposes": _named(result["purposes"], "purpose", _names(Purpose, result)),
        "matters": _named(result["matters"], "matter", _names(Matter, result)),
        "first": [
            row | {name: _time(row[name]) for name in ("ended_at", "old_end", "new_end")}
            for row in result["first"]
        ],
        "steps": steps,
        **_bars(steps),
    }


def changes_in_words(simulation: Simulation) -> list[str]:
    """Each of the changes that were simulated, in one sentence."""
    changes = loads(simulation.changes)
    purposes = {str(one.pk): str(one) for one in Purpose.objects.all()}
    versions = {
        change["version"]: version_of(change) for change in changes if change["kind"] == "rule"
    }
    names = wording.names_of([version for version in versions.values() if version])
    sentences = []
    for change in changes:
        purpose = purposes.get(change["purpose"], "")
        if change["kind"] == "limit":
            sentences.append(_limit(change, purpose))
            continue
        version = versions[change["version"]]
        told = {"name": change["name"], "purpose": purpose}
        if version is None:
            sentences.append(_("“%(name)s” (%(purpose)s) is retired.") % told)
        else:
            told |= {
                "keeps": wording.keeps(version),
                "applies_to": wording.applies_to(version, names=names),
            }
            sentences.append(_("“%(name)s” (%(purpose)s) keeps %(keeps)s: %(applies_to)s.") % told)
    return sentences


def _limit(change: Mapping[str, Any], purpose: str) -> str:
    bounds = {
        name: "–" if change[f"{name}_months"] is None else change[f"{name}_months"]
        for name in ("floor", "ceiling")
    }
    return _("%(purpose)s: floor %(floor)s months, ceiling %(ceiling)s months.") % {
        "purpose": purpose,
        **bounds,
    }


def _names(model: Any, result: Mapping[str, Any]) -> dict[str, str]:
    key, rows = {
        Controller: ("controller", "companies"),
        Team: ("team", "teams"),
        Purpose: ("purpose", "purposes"),
        Matter: ("matter", "matters"),
    }[model]
    ids = [UUID(row[key]) for row in result[rows] if row[key]]
    return {str(pk): str(one) for pk, one in model.objects.in_bulk(ids).items()}


def _named(
    rows: Iterable[Mapping[str, Any]], key: str, names: Mapping[str, str]
) -> list[dict[str, Any]]:
    named = [
        {
            **row,
            "name": _("No team") if row[key] is None else names.get(row[key], _("unknown")),
            "is_none": row[key] is None,
        }
        for row in rows
    ]
    return sorted(named, key=lambda row: (row["is_none"], row["name"]))


def _steps(result: Mapping[str, Any]) -> Iterable[Step]:
    """What goes now, then by month without gaps, or by year if there are too many months."""
    counts = result["all"]
    yield Step(_("Over now"), counts["now_old"], counts["now_new"])
    months = {row["month"]: row for row in result["months"]}
    if months:
        span = _span(min(months), max(months))
        if len(span) > MOST_MONTHS:
            years: dict[str, tuple[int, int]] = {month[:4]: (0, 0) for month in span}
            for month, row in months.items():
                old, new = years[month[:4]]
                years[month[:4]] = old + row["old"], new + row["new"]
            yield from (Step(year, *both) for year, both in years.items())
        else:
            for month in span:
                row = months.get(month, {"old": 0, "new": 0})
                label = date_format(date(int(month[:4]), int(month[5:]), 1), "YEAR_MONTH_FORMAT")
                yield Step(label, row["old"], row["new"])
    yield Step(_("No rule covers it"), counts["never_old"], counts["never_new"])


def _span(first: str, last: str) -> list[str]:
    begin, end = (12 * int(month[:4]) + int(month[5:]) - 1 for month in (first, last))
    return [f"{number // 12:04}-{number % 12 + 1:02}" for number in range(begin, end + 1)]


def _bars(steps: list[Step]) -> dict[str, Any]:
    """Two bars for each step, side by side: the old rules' and the new ones'."""
    highest = max(1, *(max(step.old, step.new) for step in steps))
    step_width = CHART_WIDTH / len(steps)
    width = step_width * (1 - _GAP) / 2
    return {
        "bars": [
            {
                "x": f"{number * step_width + place * width:.2f}",
                "y": f"{CHART_HEIGHT * (1 - count / highest):.2f}",
                "width": f"{width:.2f}",
                "height": f"{CHART_HEIGHT * count / highest:.2f}",
                "side": side,
            }
            for number, step in enumerate(steps)
            for place, (side, count) in enumerate((("old", step.old), ("new", step.new)))
            if count
        ],
        "highest": highest,
        "width": CHART_WIDTH,
        "height": CHART_HEIGHT,
    }


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
