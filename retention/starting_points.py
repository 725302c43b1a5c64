"""Rules to start from: examples that a form can be filled with, and no advice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from retention.forms import TermsForm
from retention.models import RuleVersion


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """What a form begins with: a name, the code of a purpose, and fields of a version."""

    code: str
    label: Promise | str
    purpose: str
    fields: Mapping[str, Any]

    @property
    def is_offered(self) -> bool:
        """Whether a form can say all of it, and its time can be counted from its trigger."""
        trigger = self.fields.get("trigger", RuleVersion.Trigger.ENDED_AT)
        names = set(self.fields) - ({"trigger"} if trigger == "ended_at" else set())
        return trigger in RuleVersion.Trigger.values and names <= set(TermsForm.base_fields)


def starting_points() -> list[StartingPoint]:
    """Those that can be offered."""
    return [one for one in _ALL if one.is_offered]


def starting_point(code: str) -> StartingPoint | None:
    """The one of that code."""
    return next((one for one in starting_points() if one.code == code), None)


_ALL = (
    StartingPoint(
        "coaching",
        _("Coaching, 6 months"),
        "coaching",
        {"keep_months": 6, "keep_days": 0, "legal_basis": "6.1.f"},
    ),
    StartingPoint(
        "training",
        _("Training library, 2 years"),
        "training",
        {"keep_months": 24, "keep_days": 0, "legal_basis": "6.1.f"},
    ),
    # Directive 2014/65/EU (MiFID II), Art. 16(7): five years, up to seven where the authority asks.
    StartingPoint(
        "orders",
        _("Investment orders, 5 years (MiFID II Art. 16(7))"),
        "evidence",
        {"keep_months": 60, "keep_days": 0, "legal_basis": "6.1.c"},
    ),
    StartingPoint(
        "orders-on-request",
        _("Investment orders, 7 years where the authority asks (MiFID II Art. 16(7))"),
        "evidence",
        {"keep_months": 84, "keep_days": 0, "legal_basis": "6.1.c"},
    ),
    StartingPoint(
        "claims",
        _("Claims handling, 1 year from the closing of the claim"),
        "claims",
        {
            "trigger": "claim.closed",
            "keep_months": 12,
            "keep_days": 0,
            "legal_basis": "6.1.b",
        },
    ),
)
