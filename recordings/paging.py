"""Pages of long lists by key, since pages by number slow down and shift under the reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Self, TypeVar
from uuid import UUID

from django.db import models
from django.db.models import Q

Row = TypeVar("Row", bound=models.Model)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: beyond the row of that time and id, towards older rows or newer ones."""

    at: datetime
    id: UUID
    is_backward: bool = False

    def __str__(self) -> str:
        return f"{'b' if self.is_backward else 'f'}{self.at.isoformat()}_{self.id}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a cursor as it stands in an address; None when it is none of ours."""
        moment, _, identifier = text[1:].partition("_")
        try:
            cursor = cls(datetime.fromisoformat(moment), UUID(identifier), text[0] == "b")
        except (ValueError, IndexError):
            return None
        return cursor if text[0] in "bf" and cursor.at.tzinfo else None

    def beyond(self, field: str) -> Q:
        """Say which rows lie beyond; the first half lets an index be entered at the right place."""
        sign = "gt" if self.is_backward else "lt"
        return Q(**{f"{field}__{sign}e": self.at}) & (
            Q(**{f"{field}__{sign}": self.at}) | Q(**{f"id__{sign}": self.id})
        )


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows of one page, newest first, and the cursors of its neighbors."""

    rows: Sequence[Row]
    newer: Cursor | None
    older: Cursor | None


def page_of(
    rows: models.QuerySet[Row], *, field: str, cursor: Cursor | None, size: int
) -> Page[Row]:
    """Read one page, newest first by `field` and id, in one statement."""
    is_backward = cursor is not None and cursor.is_backward
    if cursor is not None:
        rows = rows.filter(cursor.beyond(field))
    order = (field, "id") if is_backward else (f"-{field}", "-id")
    found = list(rows.order_by(*order)[: size + 1])
    has_more = len(found) > size
    found = found[:size]
    if is_backward:
        found.reverse()
    has_newer = has_more if is_backward else cursor is not None
    return Page(
        rows=found,
        newer=_at(found[0], field, is_backward=True) if found and has_newer else None,
        older=_at(found[-1], field) if found and (is_backward or has_more) else None,
    )


def _at(row: models.Model, field: str, *, is_backward: bool = False) -> Cursor:
    return Cursor(getattr(row, field), row.pk, is_backward)
