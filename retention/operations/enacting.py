"""Makes law of what was approved, or of what the installation is set up with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from accounts.models import Controller, Purpose
from audit.events import Actor, EventType, FactValue, Target
from audit.operations import append
from retention.drafts import Draft, fields_of
from retention.models import Proposal, PurposeLimit, RetentionRule, RuleVersion
from retention.operations.effect import Effect
from retention.operations.recompute import request_recomputation
from retention.operations.rule_facts import bounds_changed, said_of
from retention.operations.rules import count_affected


@dataclass(frozen=True, slots=True)
class Ground:
    """On what something becomes law: an approved proposal, or None for the set-up; by whom."""

    proposal: Proposal | None
    actor: Actor


def add_version(
    *,
    rule: RetentionRule,
    draft: Draft,
    old: RuleVersion | None,
    is_retired: bool,
    effect: Effect,
    ground: Ground,
    now: datetime,
    facts: dict[str, FactValue] | None = None,
) -> RuleVersion:
    """Add the version that follows `old`, with its event; covers anew if it speaks at once."""
    newest = rule.versions.order_by("-number").first()
    version = RuleVersion.objects.create(
        rule=rule,
        number=newest.number + 1 if newest else 1,
        is_retired=is_retired,
        **_enacted(ground, effect, now),
        **fields_of(draft),
    )
    event_type = EventType.RULE_CHANGED if old else EventType.RULE_CREATED
    append(
        event_type=EventType.RULE_RETIRED if is_retired else event_type,
        actor=ground.actor,
        now=now,
        log=rule.controller_id,
        target=Target("rule", str(rule.pk), version=str(version.number)),
        purpose=rule.purpose.code,
        facts={
            **said_of(draft),
            "conversations": count_affected(
                controller=rule.controller,
                purpose=rule.purpose,
                draft=None if is_retired else draft,
                old=old,
            ),
            **_facts(ground, effect),
            **(facts or {}),
        },
    )
    _follow(rule.controller, effect, ground, Target("rule", str(rule.pk)), now)
    return version


def add_limit(
    *,
    controller: Controller,
    purpose: Purpose,
    bounds: tuple[int | None, int | None],
    source: str,
    effect: Effect,
    ground: Ground,
    now: datetime,
) -> PurposeLimit:
    """Add the limits that follow those there are, with their event."""
    floor_months, ceiling_months = bounds
    same = PurposeLimit.objects.filter(controller=controller, purpose=purpose)
    newest = same.order_by("-number").first()
    limit = PurposeLimit.objects.create(
        controller=controller,
        purpose=purpose,
        number=newest.number + 1 if newest else 1,
        floor_months=floor_months,
        ceiling_months=ceiling_months,
        source=source,
        **_enacted(ground, effect, now),
    )
    target = Target("purpose_limit", str(limit.pk))
    append(
        event_type=EventType.PURPOSE_LIMIT_CHANGED,
        actor=ground.actor,
        now=now,
        log=controller.pk,
        target=target,
        purpose=purpose.code,
        facts={
            "changed": bounds_changed(floor_months, ceiling_months),
            "version": limit.number,
            **_facts(ground, effect),
        },
        detail={"source": source},
    )
    _follow(controller, effect, ground, target, now)
    return limit


def _enacted(ground: Ground, effect: Effect, now: datetime) -> dict[str, object]:
    proposal = ground.proposal
    return {
        "in_force_from": effect.from_at,
        "created_at": now,
        "created_by": proposal.proposed_by if proposal else None,
        "approved_by": proposal.decided_by if proposal else None,
        "proposal": proposal,
        "is_shortening": effect.is_shortening,
        "urgency": proposal.urgency if proposal else "",
    }


def _facts(ground: Ground, effect: Effect) -> dict[str, FactValue]:
    proposal = ground.proposal
    if proposal is None:
        return {"from": effect.from_at}
    return {
        "from": effect.from_at,
        "proposal": proposal.pk,
        "proposer": proposal.proposed_by.reference if proposal.proposed_by else None,
    }


def _follow(
    controller: Controller, effect: Effect, ground: Ground, target: Target, now: datetime
) -> None:
    proposal = ground.proposal
    if proposal is not None and proposal.urgency and effect.is_shortening:
        append(
            event_type=EventType.RULE_HASTENED,
            actor=ground.actor,
            now=now,
            log=controller.pk,
            target=target,
            facts={"urgency": proposal.urgency, **_facts(ground, effect)},
            detail={"reason": proposal.reason},
        )
    # What speaks later is carried through when its time has come: see `coming_into_force`.
    if effect.from_at <= now:
        request_recomputation(controller=controller, now=now)
