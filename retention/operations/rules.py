"""Proposes what retention rules say and what bounds them; a second person puts it in force."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import Controller, Purpose, User
from audit.events import FactValue
from retention.drafts import Draft, differences, draft_of, fields_of
from retention.models import Proposal, RetentionRule, RuleVersion
from retention.operations.contradictions import (
    Problem,
    problems_of_limit,
    problems_of_name,
    problems_of_terms,
)
from retention.operations.effect import effect_of_limit, effect_of_version
from retention.operations.proposing import Intent, problems_of_intent, propose
from retention.operations.rule_facts import bounds_changed, said_of
from retention.operations.rule_lock import change_alone
from retention.permissions import check_can_change_rules
from retention.queries import matched_by, newest_limit, newest_version, terms_of


class RuleRefused(Exception):
    """The rule or limit contradicts another, or lacks something; each problem says what."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(" ".join(str(problem.sentence) for problem in problems))
        self.problems = tuple(problems)


class RuleNotInForce(Exception):
    """The rule has been retired."""

    def __init__(self) -> None:
        super().__init__(_("The rule has been retired; it cannot be changed any more."))


class RuleChangedMeanwhile(Exception):
    """Somebody made another version after the one that the change started from."""

    def __init__(self) -> None:
        super().__init__(
            _("Somebody changed the rule meanwhile. Nothing was saved; look at the new version.")
        )


class NothingChanged(Exception):
    """The new version would say what the newest one says."""

    def __init__(self) -> None:
        super().__init__(_("The rule says this already; nothing was saved."))


@transaction.atomic
def propose_rule(
    *,
    controller: Controller,
    purpose: Purpose,
    name: str,
    draft: Draft,
    intent: Intent,
    user: User,
    now: datetime,
) -> Proposal:
    """
    Propose a rule.

    Raises:
        NotEntitled: the person is not a compliance officer of the controller.
        RuleRefused: it contradicts another rule or a limit, or lacks something.
        ProposalOpen: what it is called.
    """
    check_can_change_rules(user=user, controller=controller)
    change_alone(controller.pk)
    check_draft(
        controller=controller, purpose=purpose, draft=draft, name=name, intent=intent, now=now
    )
    return propose(
        Proposal(
            deed=Proposal.Deed.CREATE_RULE,
            controller=controller,
            purpose=purpose,
            name=name.strip(),
            terms=fields_of(draft),
        ),
        intent=intent,
        user=user,
        now=now,
        facts=said_of(draft)
        | {
            "conversations": count_affected(
                controller=controller, purpose=purpose, draft=draft, old=None
            )
        },
    )


@transaction.atomic
def propose_change(
    *,
    rule: RetentionRule,
    draft: Draft,
    based_on: int,
    intent: Intent,
    user: User,
    now: datetime,
) -> Proposal:
    """
    Propose a further version of a rule; `based_on` is the number of the version that was seen.

    Raises:
        NotEntitled, RuleRefused, ProposalOpen: as `propose_rule`.
        RuleNotInForce, RuleChangedMeanwhile, NothingChanged: what they are called.
    """
    check_can_change_rules(user=user, controller=rule.controller)
    change_alone(rule.controller_id)
    newest = newest_unchanged(rule, based_on)
    changed = differences(newest, draft)
    if not changed:
        raise NothingChanged
    check_draft(
        controller=rule.controller,
        purpose=rule.purpose,
        draft=draft,
        rule=rule,
        intent=intent,
        now=now,
    )
    return _propose_version(
        Proposal.Deed.CHANGE_RULE, newest, draft, intent, user, now, {"changed": changed}
    )


@transaction.atomic
def propose_retirement(
    *, rule: RetentionRule, based_on: int, intent: Intent, user: User, now: datetime
) -> Proposal:
    """
    Propose that the rule match nothing any more.

    What only this rule covered is then closed to everybody and shown as uncovered. It ends when
    nobody has decided about it UNCOVERED_DECIDE_DAYS after it is computed anew.

    Raises NotEntitled, RuleRefused, ProposalOpen, RuleNotInForce, RuleChangedMeanwhile.
    """
    check_can_change_rules(user=user, controller=rule.controller)
    change_alone(rule.controller_id)
    newest = newest_unchanged(rule, based_on)
    refuse_if(problems_of_intent(intent, now))
    return _propose_version(
        Proposal.Deed.RETIRE_RULE, newest, draft_of(newest), intent, user, now, {}
    )


@transaction.atomic
def propose_limit(
    *,
    controller: Controller,
    purpose: Purpose,
    floor_months: int | None,
    ceiling_months: int | None,
    source: str,
    intent: Intent,
    user: User,
    now: datetime,
) -> Proposal:
    """
    Propose the shortest and the longest time of a purpose.

    Raises:
        NotEntitled, ProposalOpen: as `propose_rule`.
        RuleRefused: the floor is above the ceiling, a rule in force then contradicts them, or
            nothing is said about what they rest on.
    """
    check_can_change_rules(user=user, controller=controller)
    change_alone(controller.pk)
    check_limit(
        controller=controller,
        purpose=purpose,
        floor_months=floor_months,
        ceiling_months=ceiling_months,
        source=source,
        intent=intent,
        now=now,
    )
    limits = {"floor_months": floor_months, "ceiling_months": ceiling_months, "source": source}
    newest = newest_limit(controller=controller, purpose=purpose)
    return propose(
        Proposal(
            deed=Proposal.Deed.SET_LIMIT,
            controller=controller,
            purpose=purpose,
            terms=limits | {"source": source.strip()},
            based_on=newest.number if newest else 0,
        ),
        intent=intent,
        user=user,
        now=now,
        facts={"changed": bounds_changed(floor_months, ceiling_months)},
    )


def check_draft(
    *,
    controller: Controller,
    purpose: Purpose,
    draft: Draft,
    intent: Intent | None,
    now: datetime,
    name: str | None = None,
    rule: RetentionRule | None = None,
) -> None:
    """
    Raise RuleRefused if the draft could not become a version; a name is checked if it is given.

    It says so before anything is confirmed, or without an intent proposed; the deeds ask again.
    """
    effect = effect_of_version(
        rule=rule,
        fields=fields_of(draft),
        wanted_from=intent.wanted_from if intent else None,
        urgency=intent.urgency if intent else "",
        now=now,
    )
    refuse_if(
        [
            *(problems_of_intent(intent, now) if intent else ()),
            *(problems_of_name(controller=controller, name=name) if name is not None else ()),
            *problems_of_terms(
                controller=controller, purpose=purpose, draft=draft, at=effect.from_at
            ),
        ]
    )


def check_limit(
    *,
    controller: Controller,
    purpose: Purpose,
    floor_months: int | None,
    ceiling_months: int | None,
    source: str,
    intent: Intent | None,
    now: datetime,
) -> None:
    """Raise RuleRefused if the limits could not be set; without an intent they are only tried."""
    effect = effect_of_limit(
        controller=controller,
        purpose=purpose,
        bounds=(floor_months, ceiling_months),
        wanted_from=intent.wanted_from if intent else None,
        urgency=intent.urgency if intent else "",
        now=now,
    )
    refuse_if(
        [
            *(problems_of_intent(intent, now) if intent else ()),
            *problems_of_limit(
                controller=controller,
                purpose=purpose,
                floor_months=floor_months,
                ceiling_months=ceiling_months,
                source=source,
                at=effect.from_at,
            ),
        ]
    )


def count_affected(
    *, controller: Controller, purpose: Purpose, draft: Draft | None, old: RuleVersion | None
) -> int:
    """How many kept conversations the old or the new version of a rule speaks of."""
    terms = [terms_of(old)] if old is not None else []
    if draft is not None:
        rule = RetentionRule(controller=controller, purpose=purpose)
        terms.append(terms_of(RuleVersion(rule=rule, **fields_of(draft))))
    return matched_by(controller=controller, terms=terms).count()


def refuse_if(problems: Sequence[Problem]) -> None:
    """Raise RuleRefused if there are any."""
    if problems:
        raise RuleRefused(problems)


def newest_unchanged(rule: RetentionRule, based_on: int) -> RuleVersion:
    """
    The newest version of a rule, if it is the one that was seen.

    Raises RuleNotInForce, RuleChangedMeanwhile.
    """
    newest = newest_version(rule)
    if newest.is_retired or newest.taken_back_at:
        raise RuleNotInForce
    if newest.number != based_on:
        raise RuleChangedMeanwhile
    return newest


def _propose_version(
    deed: Proposal.Deed,
    newest: RuleVersion,
    draft: Draft,
    intent: Intent,
    user: User,
    now: datetime,
    facts: dict[str, FactValue],
) -> Proposal:
    rule = newest.rule
    new = None if deed == Proposal.Deed.RETIRE_RULE else draft
    affected = count_affected(
        controller=rule.controller, purpose=rule.purpose, draft=new, old=newest
    )
    return propose(
        Proposal(
            deed=deed,
            controller=rule.controller,
            purpose=rule.purpose,
            rule=rule,
            name=rule.name,
            terms=fields_of(draft),
            based_on=newest.number,
        ),
        intent=intent,
        user=user,
        now=now,
        facts={**said_of(draft), "conversations": affected, **facts},
    )
