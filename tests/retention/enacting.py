"""Rules and limits put in force by two persons in one go, as arrangements need them."""

from __future__ import annotations

from datetime import UTC, datetime

from accounts.models import Controller, Purpose, RoleAssignment, User
from accounts.roles import Role
from retention.drafts import Draft
from retention.models import Proposal, PurposeLimit, RetentionRule, RuleVersion, Urgency
from retention.operations.proposals import approve, enacted_by
from retention.operations.proposing import Intent
from retention.operations.rules import (
    propose_change,
    propose_limit,
    propose_retirement,
    propose_rule,
)

# A shortening, too, speaks at once.
INTENT = Intent(reason="The board decided it.", urgency=Urgency.UNLAWFUL)
LONG_AGO, FAR_OFF = datetime(2020, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)


def second_officer(controller: Controller) -> User:
    """The company's compliance officer who agrees to what others propose."""
    user, is_new = User.objects.get_or_create(
        email=f"second.{controller.slug}@example.invalid",
        defaults={"full_name": "Sanna Second", "is_active": True},
    )
    if is_new:
        RoleAssignment.objects.create(
            user=user,
            role=Role.COMPLIANCE_OFFICER,
            controller=controller,
            from_at=LONG_AGO,
            until_at=FAR_OFF,
        )
    return user


def create_rule(
    *,
    controller: Controller,
    purpose: Purpose,
    name: str,
    draft: Draft,
    user: User,
    now: datetime,
) -> RuleVersion:
    """A rule in force from that time on, proposed by the person."""
    proposal = propose_rule(
        controller=controller,
        purpose=purpose,
        name=name,
        draft=draft,
        intent=INTENT,
        user=user,
        now=now,
    )
    return _version(proposal, now)


def change_rule(
    *, rule: RetentionRule, draft: Draft, based_on: int, user: User, now: datetime
) -> RuleVersion:
    """A further version in force from that time on, proposed by the person."""
    proposal = propose_change(
        rule=rule, draft=draft, based_on=based_on, intent=INTENT, user=user, now=now
    )
    return _version(proposal, now)


def retire_rule(*, rule: RetentionRule, based_on: int, user: User, now: datetime) -> RuleVersion:
    """The rule retired from that time on."""
    proposal = propose_retirement(rule=rule, based_on=based_on, intent=INTENT, user=user, now=now)
    return _version(proposal, now)


def set_limit(
    *,
    controller: Controller,
    purpose: Purpose,
    floor_months: int | None,
    ceiling_months: int | None,
    source: str,
    user: User,
    now: datetime,
) -> PurposeLimit:
    """Limits in force from that time on."""
    proposal = propose_limit(
        controller=controller,
        purpose=purpose,
        floor_months=floor_months,
        ceiling_months=ceiling_months,
        source=source,
        intent=INTENT,
        user=user,
        now=now,
    )
    limit = _agreed(proposal, now)
    assert isinstance(limit, PurposeLimit)
    return limit


def _version(proposal: Proposal, now: datetime) -> RuleVersion:
    version = _agreed(proposal, now)
    assert isinstance(version, RuleVersion)
    return version


def _agreed(proposal: Proposal, now: datetime) -> RuleVersion | PurposeLimit | None:
    assert proposal.controller is not None
    second = second_officer(proposal.controller)
    return enacted_by(approve(proposal_id=proposal.pk, reason="Agreed.", user=second, now=now))
