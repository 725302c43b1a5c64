"""Rules to start from: examples that a form can be filled with, and no advice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from retention.models import RuleVersion


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """What a form begins with: a name, the code of a purpose, and fields of a version."""

    code: str
    label: Promise | str
    purpose: str
    fields: Mapping[str, Any]


def starting_point(code: str) -> StartingPoint | None:
    """The one of that code."""
    return next((one for one in STARTING_POINTS if one.code == code), None)


STARTING_POINTS = (
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
    # Insurance Contracts Act 543/1994, section 73: a claim is made within ten years at the latest.
    StartingPoint(
        "claims",
        _("Claims handling, 1 year from the closing of the claim, 10 years at most"),
        "claims",
        {
            "trigger": RuleVersion.Trigger.CLAIM_CLOSED,
            "keep_months": 12,
            "keep_days": 0,
            "cap_months": 120,
            "legal_basis": "6.1.b",
        },
    ),
)
