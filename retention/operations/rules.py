"""Makes, changes and retires retention rules, and sets what bounds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import Controller, Purpose, User
from accounts.queries import actor_for
from audit.events import EventType, FactValue, Target
from audit.operations import append
from retention.models import PurposeLimit, RetentionRule, RuleVersion
from retention.operations.contradictions import (
    Problem,
    problems_of_limit,
    problems_of_name,
    problems_of_terms,
)
from retention.operations.recompute import request_recomputation
from retention.operations.rule_lock import change_alone
from retention.permissions import check_can_change_rules
from retention.queries import matched_by, newest_version, terms_of


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


@dataclass(frozen=True, slots=True)
class Draft:
    """What a version shall say, under the names that RuleVersion has for it."""

    keep_months: int
    keep_days: int
    legal_basis: str
    kinds: tuple[str, ...] = ()
    teams: tuple[UUID, ...] = ()
    queues: tuple[UUID, ...] = ()
    directions: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    shortest_seconds: int | None = None
    longest_seconds: int | None = None
    is_exclusion: bool = False
    trigger: str = RuleVersion.Trigger.ENDED_AT
    cap_months: int | None = None
    statute: str = ""
    article_9_condition: str = ""


def draft_from(said: Mapping[str, Any]) -> Draft:
    """The draft that says this, with lists as tuples."""
    return Draft(**{name: _unchanging(value) for name, value in said.items()})


def _unchanging(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@transaction.atomic
def create_rule(
    *,
    controller: Controller,
    purpose: Purpose,
    name: str,
    draft: Draft,
    user: User,
    now: datetime,
) -> RuleVersion:
    """
    Make a rule whose first version is in force from now on, and have uses computed anew.

    Raises:
        NotEntitled: the person is not a compliance officer of the controller.
        RuleRefused: it contradicts another rule or a limit, or lacks something.
    """
    check_can_change_rules(user=user, controller=controller)
    change_alone(controller.pk)
    _refuse_if(
        [
            *problems_of_name(controller=controller, name=name),
            *problems_of_terms(controller=controller, purpose=purpose, draft=draft),
        ]
    )
    rule = RetentionRule.objects.create(controller=controller, purpose=purpose, name=name.strip())
    return _add_version(
        rule=rule, number=1, draft=draft, event_type=EventType.RULE_CREATED, user=user, now=now
    )


@transaction.atomic
def change_rule(
    *, rule: RetentionRule, draft: Draft, based_on: int, user: User, now: datetime
) -> RuleVersion:
    """
    Add a version that is in force from now on, and have uses computed anew.

    `based_on` is the number of the version that the person saw.

    Raises:
        NotEntitled, RuleRefused: as `create_rule`.
        RuleNotInForce, RuleChangedMeanwhile, NothingChanged: what they are called.
    """
    check_can_change_rules(user=user, controller=rule.controller)
    change_alone(rule.controller_id)
    newest = _newest_in_force(rule, based_on)
    changed = _differences(newest, draft)
    if not changed:
        raise NothingChanged
    _refuse_if(problems_of_terms(controller=rule.controller, purpose=rule.purpose, draft=draft))
    return _add_version(
        rule=rule,
        number=newest.number + 1,
        draft=draft,
        event_type=EventType.RULE_CHANGED,
        user=user,
        now=now,
        old=newest,
        facts={"changed": changed},
    )


@transaction.atomic
def retire_rule(*, rule: RetentionRule, based_on: int, user: User, now: datetime) -> RuleVersion:
    """
    Make the rule match nothing from now on, and have uses computed anew.

    What only this rule covered is closed to everybody and shown as uncovered. It ends when nobody
    has decided about it UNCOVERED_DECIDE_DAYS after it is computed anew.

    Raises NotEntitled, RuleNotInForce, RuleChangedMeanwhile.
    """
    check_can_change_rules(user=user, controller=rule.controller)
    change_alone(rule.controller_id)
    newest = _newest_in_force(rule, based_on)
    return _add_version(
        rule=rule,
        number=newest.number + 1,
        draft=_draft_of(newest),
        event_type=EventType.RULE_RETIRED,
        user=user,
        now=now,
        old=newest,
        is_retired=True,
    )


@transaction.atomic
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
    """
    Set the shortest and the longest time of a purpose from now on, and have uses computed anew.

    What was set before stays as the version before.

    Raises:
        NotEntitled: as `create_rule`.
        RuleRefused: the floor is above the ceiling, a rule in force contradicts them, or nothing
            is said about what they rest on.
    """
    check_can_change_rules(user=user, controller=controller)
    change_alone(controller.pk)
    check_limit(
        controller=controller,
        purpose=purpose,
        floor_months=floor_months,
        ceiling_months=ceiling_months,
        source=source,
        now=now,
    )
    newest = PurposeLimit.objects.newest().filter(controller=controller, purpose=purpose).first()
    limit = PurposeLimit.objects.create(
        controller=controller,
        purpose=purpose,
        floor_months=floor_months,
        ceiling_months=ceiling_months,
        source=source.strip(),
        number=newest.number + 1 if newest else 1,
        in_force_from=now,
        created_at=now,
    )
    changed = [
        f"{name}:{'none' if months is None else months}"
        for name, months in (("floor_months", floor_months), ("ceiling_months", ceiling_months))
    ]
    append(
        event_type=EventType.PURPOSE_LIMIT_CHANGED,
        actor=actor_for(user=user, at=now),
        now=now,
        log=controller.pk,
        target=Target("purpose_limit", str(limit.pk)),
        purpose=purpose.code,
        facts={"changed": changed, "version": limit.number},
        detail={"source": source.strip()},
    )
    request_recomputation(controller=controller, now=now)
    return limit


def check_draft(
    *, controller: Controller, purpose: Purpose, draft: Draft, name: str | None = None
) -> None:
    """
    Raise RuleRefused if the draft could not become a version; a name is checked if it is given.

    It says so before anything is confirmed; the deed asks again.
    """
    _refuse_if(
        [
            *(problems_of_name(controller=controller, name=name) if name is not None else ()),
            *problems_of_terms(controller=controller, purpose=purpose, draft=draft),
        ]
    )


def check_limit(
    *,
    controller: Controller,
    purpose: Purpose,
    floor_months: int | None,
    ceiling_months: int | None,
    source: str,
    now: datetime,
) -> None:
    """Raise RuleRefused if the limits could not be set; the deed asks again."""
    _refuse_if(
        problems_of_limit(
            controller=controller,
            purpose=purpose,
            floor_months=floor_months,
            ceiling_months=ceiling_months,
            source=source,
            at=now,
        )
    )


def count_affected(
    *, controller: Controller, purpose: Purpose, draft: Draft | None, old: RuleVersion | None
) -> int:
    """How many kept conversations the old or the new version of a rule speaks of."""
    terms = [terms_of(old)] if old is not None else []
    if draft is not None:
        rule = RetentionRule(controller=controller, purpose=purpose)
        terms.append(terms_of(RuleVersion(rule=rule, **_fields_of(draft))))
    return matched_by(controller=controller, terms=terms).count()


def _refuse_if(problems: Sequence[Problem]) -> None:
    if problems:
        raise RuleRefused(problems)


def _newest_in_force(rule: RetentionRule, based_on: int) -> RuleVersion:
    newest = newest_version(rule)
    if newest.is_retired:
        raise RuleNotInForce
    if newest.number != based_on:
        raise RuleChangedMeanwhile
    return newest


def _fields_of(draft: Draft) -> dict[str, object]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(draft).items()
    }


def _draft_of(version: RuleVersion) -> Draft:
    return draft_from({field.name: getattr(version, field.name) for field in fields(Draft)})


def _differences(version: RuleVersion, draft: Draft) -> list[str]:
    """The names of what the draft says otherwise; the order of a list says nothing."""
    old, new = _fields_of(_draft_of(version)), _fields_of(draft)
    return [name for name in old if _in_order(old[name]) != _in_order(new[name])]


def _in_order(value: object) -> object:
    return sorted(value) if isinstance(value, list) else value


def _add_version(
    *,
    rule: RetentionRule,
    number: int,
    draft: Draft,
    event_type: EventType,
    user: User,
    now: datetime,
    old: RuleVersion | None = None,
    is_retired: bool = False,
    facts: dict[str, FactValue] | None = None,
) -> RuleVersion:
    version = RuleVersion.objects.create(
        rule=rule,
        number=number,
        is_retired=is_retired,
        in_force_from=now,
        created_by=user,
        created_at=now,
        **_fields_of(draft),
    )
    said: dict[str, FactValue] = (
        {"kind": "exclusion"}
        if draft.is_exclusion
        else {
            "months": draft.keep_months,
            "days": draft.keep_days,
            "legal_basis": f"gdpr:{draft.legal_basis}",
        }
    )
    append(
        event_type=event_type,
        actor=actor_for(user=user, at=now),
        now=now,
        log=rule.controller_id,
        target=Target("rule", str(rule.pk), version=str(number)),
        purpose=rule.purpose.code,
        facts={
            **said,
            "conversations": count_affected(
                controller=rule.controller, purpose=rule.purpose, draft=draft, old=old
            ),
            **(facts or {}),
        },
    )
    request_recomputation(controller=rule.controller, now=now)
    return version
