"""Reckons from when a change of rules speaks: at once, or after the cooling time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from accounts.models import Controller, Purpose
from retention.models import PurposeLimit, RetentionRule, RuleVersion
from retention.shortening import is_always, limits_shorten, shortens


@dataclass(frozen=True, slots=True)
class Effect:
    """Whether something kept could end earlier by it, and from when it speaks if approved now."""

    is_shortening: bool
    from_at: datetime


def effect_of_version(
    *,
    rule: RetentionRule | None,
    fields: Mapping[str, Any] | None,
    wanted_from: datetime | None,
    urgency: str,
    now: datetime,
) -> Effect:
    """
    What comes of a rule saying this; without a rule it is a new one, without fields it is retired.

    It is compared with what the rule says now and with all that it is going to say.
    """
    if rule is None:
        # Of several rules the longest wins: one more ends nothing earlier, unless it excludes.
        return _effect(fields is not None and is_always(fields), wanted_from, urgency, now)
    is_shortening = fields is None
    if fields is not None:
        for versions in (RuleVersion.objects.in_force(at=now), RuleVersion.objects.waiting(at=now)):
            for version in versions.filter(rule=rule, is_retired=False):
                old = {name: getattr(version, name) for name in fields}
                is_shortening = is_shortening or shortens(old, fields)
    return _effect(is_shortening, wanted_from, urgency, now)


def effect_of_limit(
    *,
    controller: Controller,
    purpose: Purpose,
    bounds: tuple[int | None, int | None],
    wanted_from: datetime | None,
    urgency: str,
    now: datetime,
) -> Effect:
    """What comes of a purpose having these bounds: floor and ceiling in months."""
    before: list[tuple[int | None, int | None] | None] = [
        (limit.floor_months, limit.ceiling_months)
        for limits in (PurposeLimit.objects.in_force(at=now), PurposeLimit.objects.waiting(at=now))
        for limit in limits.filter(controller=controller, purpose=purpose)
    ]
    is_shortening = any(limits_shorten(old, bounds) for old in before or [None])
    return _effect(is_shortening, wanted_from, urgency, now)


def _effect(
    is_shortening: bool, wanted_from: datetime | None, urgency: str, now: datetime
) -> Effect:
    earliest = now
    if is_shortening and not urgency:
        earliest = now + timedelta(days=settings.RULE_COOLING_DAYS)
    return Effect(is_shortening, max(earliest, wanted_from or earliest))
