"""Puts a new installation's first rules and limits in force; no page leads here."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts.models import Controller, Purpose
from audit.events import Actor
from retention.drafts import Draft
from retention.models import PurposeLimit, RetentionRule, RuleVersion
from retention.operations.contradictions import (
    problems_of_limit,
    problems_of_name,
    problems_of_terms,
)
from retention.operations.effect import Effect
from retention.operations.enacting import Ground, add_limit, add_version
from retention.operations.rule_lock import change_alone
from retention.operations.rules import refuse_if

GROUND = Ground(proposal=None, actor=Actor.system("setup"))


@transaction.atomic
def put_rule_in_force(
    *, controller: Controller, purpose: Purpose, name: str, draft: Draft, now: datetime
) -> RuleVersion:
    """
    Make a rule that speaks at once, as the owner of the tables: the database refuses it to others.

    Raises RuleRefused.
    """
    change_alone(controller.pk)
    refuse_if(
        [
            *problems_of_name(controller=controller, name=name),
            *problems_of_terms(controller=controller, purpose=purpose, draft=draft, at=now),
        ]
    )
    rule = RetentionRule.objects.create(controller=controller, purpose=purpose, name=name.strip())
    return add_version(
        rule=rule,
        draft=draft,
        old=None,
        is_retired=False,
        effect=Effect(is_shortening=False, from_at=now),
        ground=GROUND,
        now=now,
    )


@transaction.atomic
def put_limit_in_force(
    *,
    controller: Controller,
    purpose: Purpose,
    floor_months: int | None,
    ceiling_months: int | None,
    source: str,
    now: datetime,
) -> PurposeLimit:
    """
    Bound a purpose at once, as the owner of the tables.

    Raises RuleRefused.
    """
    change_alone(controller.pk)
    refuse_if(
        problems_of_limit(
            controller=controller,
            purpose=purpose,
            floor_months=floor_months,
            ceiling_months=ceiling_months,
            source=source,
            at=now,
        )
    )
    return add_limit(
        controller=controller,
        purpose=purpose,
        bounds=(floor_months, ceiling_months),
        source=source.strip(),
        effect=Effect(is_shortening=False, from_at=now),
        ground=GROUND,
        now=now,
    )
