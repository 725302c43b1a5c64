"""Decides what was proposed: a second person approves or refuses, the first may take it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.queries import actor_for
from audit.events import EventType, FactValue, Target
from audit.operations import append, append_alone
from retention.drafts import differences, draft_of_terms, fields_of
from retention.models import Proposal, PurposeLimit, RetentionRule, RuleVersion
from retention.operations import releases
from retention.operations.contradictions import (
    problems_of_limit,
    problems_of_name,
    problems_of_terms,
)
from retention.operations.effect import Effect, effect_of_limit, effect_of_version
from retention.operations.enacting import Ground, add_limit, add_version
from retention.operations.rule_lock import change_alone
from retention.operations.rules import RuleChangedMeanwhile, newest_unchanged, refuse_if
from retention.permissions import check_can_change_rules
from retention.queries import newest_limit

Deed = Proposal.Deed


class SamePerson(Exception):
    """Whoever proposed it wants to decide it as well."""

    def __init__(self) -> None:
        super().__init__(
            _("Whoever proposed something cannot decide it: a second person is needed.")
        )


class NotYours(Exception):
    """Somebody wants to take back what another one proposed."""

    def __init__(self) -> None:
        super().__init__(_("Only who proposed it can take it back. You can refuse it."))


class DecidedAlready(Exception):
    """The proposal is not open any more, or what came of it is in force."""

    def __init__(self) -> None:
        super().__init__(_("This has been decided already; nothing was changed."))


class ReasonMissing(Exception):
    """Nothing is said about why."""

    def __init__(self) -> None:
        super().__init__(_("Say why."))


def approve(*, proposal_id: UUID, reason: str, user: User, now: datetime) -> Proposal:
    """
    Approve as the second person: it becomes law, or is released.

    What shortens speaks once the cooling time is over. Everything is asked anew.

    Raises:
        NotEntitled: the person is not a compliance officer of the company.
        SamePerson: she proposed it herself; the attempt is in the log.
        DecidedAlready, ReasonMissing: what they are called.
        RuleRefused, RuleNotInForce, RuleChangedMeanwhile: what was proposed no longer fits.
    """
    _check_second_person(proposal_id, user, now)
    with transaction.atomic():
        proposal = _decide(proposal_id, Proposal.State.APPROVED, reason, user, now)
        _carry_out(proposal, Ground(proposal, actor_for(user=user, at=now)), now)
    return proposal


def refuse(*, proposal_id: UUID, reason: str, user: User, now: datetime) -> Proposal:
    """
    Refuse as the second person: nothing comes of it.

    Raises NotEntitled, SamePerson, DecidedAlready, ReasonMissing as `approve`.
    """
    _check_second_person(proposal_id, user, now)
    with transaction.atomic():
        proposal = _decide(proposal_id, Proposal.State.REFUSED, reason, user, now)
        _say(EventType.PROPOSAL_REFUSED, proposal, user, now, reason=reason)
    return proposal


@transaction.atomic
def take_back(*, proposal_id: UUID, reason: str, user: User, now: datetime) -> Proposal:
    """
    Take back what oneself proposed and nobody decided, or a shortening before it speaks.

    The latter may be done by any compliance officer of the company, alone: what is kept then
    stays as long as it does now.

    Raises NotEntitled, NotYours, DecidedAlready, ReasonMissing.
    """
    proposal = Proposal.objects.get(pk=proposal_id)
    check_can_change_rules(user=user, controller=proposal.controller)
    if proposal.state == Proposal.State.APPROVED:
        return _take_back_approved(proposal, reason, user, now)
    if proposal.proposed_by_id != user.pk:
        raise NotYours
    proposal = _decide(proposal_id, Proposal.State.TAKEN_BACK, reason, user, now)
    _say(EventType.PROPOSAL_TAKEN_BACK, proposal, user, now, reason=reason, state="open")
    return proposal


def enacted_by(proposal: Proposal) -> RuleVersion | PurposeLimit | None:
    """What became law by the proposal, if anything did."""
    for model in (RuleVersion, PurposeLimit):
        found: RuleVersion | PurposeLimit | None = model.objects.filter(proposal=proposal).first()
        if found is not None:
            return found
    return None


def can_be_taken_back(proposal: Proposal, *, at: datetime) -> bool:
    """Whether the proposal was approved, shortens, and does not speak yet."""
    law = enacted_by(proposal)
    return (
        law is not None
        and law.is_shortening
        and law.taken_back_at is None
        and law.in_force_from > at
    )


def effect_of(proposal: Proposal, *, now: datetime) -> Effect:
    """From when what is proposed would speak, if it were approved now."""
    if proposal.deed == Deed.SET_LIMIT:
        assert proposal.controller is not None and proposal.purpose is not None
        return effect_of_limit(
            controller=proposal.controller,
            purpose=proposal.purpose,
            bounds=(proposal.terms["floor_months"], proposal.terms["ceiling_months"]),
            wanted_from=proposal.wanted_from,
            urgency=proposal.urgency,
            now=now,
        )
    if proposal.deed not in (Deed.CREATE_RULE, Deed.CHANGE_RULE, Deed.RETIRE_RULE):
        return Effect(is_shortening=False, from_at=now)
    retires = proposal.deed == Deed.RETIRE_RULE
    return effect_of_version(
        rule=proposal.rule,
        fields=None if retires else fields_of(draft_of_terms(proposal.terms)),
        wanted_from=proposal.wanted_from,
        urgency=proposal.urgency,
        now=now,
    )


def _check_second_person(proposal_id: UUID, user: User, now: datetime) -> None:
    proposal = Proposal.objects.get(pk=proposal_id)
    check_can_change_rules(user=user, controller=proposal.controller)
    # Whoever proposed it and is gone could be anybody.
    if proposal.proposed_by_id not in (None, user.pk):
        return
    append_alone(
        event_type=EventType.APPROVAL_REFUSED,
        actor=actor_for(user=user, at=now),
        now=now,
        log=proposal.controller_id,
        target=Target("proposal", str(proposal.pk)),
        facts={"kind": proposal.deed, "reason": "same_person"},
    )
    raise SamePerson


def _decide(
    proposal_id: UUID, state: Proposal.State, reason: str, user: User, now: datetime
) -> Proposal:
    if not reason.strip():
        raise ReasonMissing
    found = Proposal.objects.get(pk=proposal_id)
    if found.controller_id is not None:
        change_alone(found.controller_id)
    proposal = (
        Proposal.objects.select_for_update(of=("self",))
        .select_related("controller", "purpose", "rule", "source", "run", "proposed_by")
        .get(pk=proposal_id)
    )
    if proposal.state != Proposal.State.OPEN:
        raise DecidedAlready
    proposal.state = state
    proposal.decided_by = user
    proposal.decided_at = now
    proposal.decision_reason = reason.strip()
    proposal.save(update_fields=["state", "decided_by", "decided_at", "decision_reason"])
    return proposal


def _carry_out(proposal: Proposal, ground: Ground, now: datetime) -> None:
    deeds: Mapping[str, Callable[[Proposal, Ground, datetime], object]] = {
        Deed.CREATE_RULE: _create,
        Deed.CHANGE_RULE: _change,
        Deed.RETIRE_RULE: _retire,
        Deed.SET_LIMIT: _set_limit,
        Deed.RELEASE_SOURCE: releases.release_source,
        Deed.RELEASE_RULES: releases.release_rules,
        Deed.RELEASE_RUN: releases.release_run,
    }
    deeds[proposal.deed](proposal, ground, now)


def _create(proposal: Proposal, ground: Ground, now: datetime) -> None:
    controller, purpose = proposal.controller, proposal.purpose
    assert controller is not None and purpose is not None
    draft, effect = draft_of_terms(proposal.terms), effect_of(proposal, now=now)
    refuse_if(
        [
            *problems_of_name(controller=controller, name=proposal.name),
            *problems_of_terms(
                controller=controller, purpose=purpose, draft=draft, at=effect.from_at
            ),
        ]
    )
    rule = RetentionRule.objects.create(controller=controller, purpose=purpose, name=proposal.name)
    add_version(
        rule=rule, draft=draft, old=None, is_retired=False, effect=effect, ground=ground, now=now
    )


def _change(proposal: Proposal, ground: Ground, now: datetime) -> None:
    rule = proposal.rule
    assert rule is not None
    draft, effect = draft_of_terms(proposal.terms), effect_of(proposal, now=now)
    old = newest_unchanged(rule, proposal.based_on)
    refuse_if(
        problems_of_terms(
            controller=rule.controller, purpose=rule.purpose, draft=draft, at=effect.from_at
        )
    )
    facts: dict[str, FactValue] = {"changed": differences(old, draft)}
    add_version(
        rule=rule,
        draft=draft,
        old=old,
        is_retired=False,
        effect=effect,
        ground=ground,
        now=now,
        facts=facts,
    )


def _retire(proposal: Proposal, ground: Ground, now: datetime) -> None:
    assert proposal.rule is not None
    add_version(
        rule=proposal.rule,
        draft=draft_of_terms(proposal.terms),
        old=newest_unchanged(proposal.rule, proposal.based_on),
        is_retired=True,
        effect=effect_of(proposal, now=now),
        ground=ground,
        now=now,
    )


def _set_limit(proposal: Proposal, ground: Ground, now: datetime) -> None:
    controller, purpose, said = proposal.controller, proposal.purpose, proposal.terms
    assert controller is not None and purpose is not None
    newest = newest_limit(controller=controller, purpose=purpose)
    if (newest.number if newest else 0) != proposal.based_on:
        raise RuleChangedMeanwhile
    effect = effect_of(proposal, now=now)
    refuse_if(problems_of_limit(controller=controller, purpose=purpose, at=effect.from_at, **said))
    add_limit(
        controller=controller,
        purpose=purpose,
        bounds=(said["floor_months"], said["ceiling_months"]),
        source=said["source"],
        effect=effect,
        ground=ground,
        now=now,
    )


def _take_back_approved(proposal: Proposal, reason: str, user: User, now: datetime) -> Proposal:
    if not reason.strip():
        raise ReasonMissing
    assert proposal.controller_id is not None
    change_alone(proposal.controller_id)
    law = enacted_by(proposal)
    if law is None or not can_be_taken_back(proposal, at=now):
        raise DecidedAlready
    law.taken_back_at, law.taken_back_by = now, user
    law.save(update_fields=["taken_back_at", "taken_back_by"])
    _say(EventType.PROPOSAL_TAKEN_BACK, proposal, user, now, reason=reason, state="approved")
    return proposal


def _say(
    event_type: EventType,
    proposal: Proposal,
    user: User,
    now: datetime,
    *,
    reason: str,
    state: str | None = None,
) -> None:
    append(
        event_type=event_type,
        actor=actor_for(user=user, at=now),
        now=now,
        log=proposal.controller_id,
        target=Target("proposal", str(proposal.pk)),
        facts={"kind": proposal.deed, "rule": proposal.rule_id, "state": state},
        detail={"reason": reason.strip()},
    )
