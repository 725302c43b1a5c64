"""What events say of rules and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audit.events import FactValue

if TYPE_CHECKING:
    from retention.drafts import Draft


def said_of(draft: Draft) -> dict[str, FactValue]:
    """What the draft says, as an event has it."""
    if draft.is_exclusion:
        return {"kind": "exclusion"}
    return {
        "months": draft.keep_months,
        "days": draft.keep_days,
        "legal_basis": f"gdpr:{draft.legal_basis}",
    }


def bounds_changed(floor_months: int | None, ceiling_months: int | None) -> list[str]:
    """The bounds of a purpose as an event says them."""
    return [
        f"{name}:{'none' if months is None else months}"
        for name, months in (("floor_months", floor_months), ("ceiling_months", ceiling_months))
    ]
