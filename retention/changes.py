"""Changes of rules and limits that nobody has approved: as values, as text, and as rule books."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Field
from uuid_utils.compat import uuid7

from accounts.models import Controller, Purpose
from audit import canonical
from retention.drafts import Draft, draft_of_terms
from retention.matching import Limit, Terms
from retention.models import Proposal, RetentionRule, RuleVersion
from retention.queries import RuleBook, rule_book, terms_of


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A rule that would be new (no `rule`), say otherwise, or be retired (no `draft`)."""

    controller: Controller
    purpose: Purpose
    draft: Draft | None
    rule: RetentionRule | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class LimitChange:
    """What would bound a purpose, in calendar months; None is no bound."""

    controller: Controller
    purpose: Purpose
    floor_months: int | None
    ceiling_months: int | None


def change_of(proposal: Proposal) -> RuleChange | LimitChange:
    """What the proposal, which is of rules or limits, would change."""
    controller, purpose, terms = proposal.controller, proposal.purpose, proposal.terms
    assert controller is not None and purpose is not None
    if proposal.deed == Proposal.Deed.SET_LIMIT:
        return LimitChange(controller, purpose, terms["floor_months"], terms["ceiling_months"])
    is_retirement = proposal.deed == Proposal.Deed.RETIRE_RULE
    draft = None if is_retirement else draft_of_terms(terms)
    return RuleChange(controller, purpose, draft, proposal.rule, proposal.name)


def dumps(changes: Iterable[RuleChange | LimitChange]) -> str:
    """The changes as canonical JSON; what a version would say stands there as its fields' text."""
    return canonical.dumps({"changes": [_as_json(change) for change in changes]})


def loads(text: str) -> list[dict[str, Any]]:
    """The changes of that text, as plain values."""
    found: list[dict[str, Any]] = json.loads(text)["changes"]
    return found


def version_of(change: Mapping[str, Any]) -> RuleVersion | None:
    """The version, not saved, that a change of a rule would put into force; None if it retires."""
    if change["terms"] is None:
        return None
    rule = RetentionRule(
        id=UUID(change["rule"]) if change["rule"] else uuid7(),
        controller_id=UUID(change["controller"]),
        purpose_id=UUID(change["purpose"]),
        name=change["name"],
    )
    said = {
        name: None if text is None else _field(name).to_python(text)
        for name, text in change["terms"].items()
    }
    return RuleVersion(id=UUID(change["version"]), rule=rule, **said)


def changed_book(
    changes: Sequence[Mapping[str, Any]], *, controller: Controller, at: datetime
) -> tuple[RuleBook, RuleBook]:
    """
    The company's rules and limits in force at that time, and as the changes would have them.

    What would speak speaks from that time on, and what it replaces has spoken until then.
    """
    old = rule_book(controller=controller, at=at, events_at=at)
    mine = [change for change in changes if change["controller"] == str(controller.pk)]
    limits = {
        **old.limits,
        **{
            UUID(change["purpose"]): Limit(change["floor_months"], change["ceiling_months"])
            for change in mine
            if change["kind"] == "limit"
        },
    }
    of_rules = [change for change in mine if change["kind"] == "rule"]
    gone = set(
        RuleVersion.objects.filter(
            rule__in=[one["rule"] for one in of_rules if one["rule"]]
        ).values_list("pk", flat=True)
    )
    terms: list[Terms] = [one for one in old.terms if one.version not in gone]
    versions = [version_of(change) for change in of_rules]
    terms += [replace(terms_of(one), in_force_from=at) for one in versions if one]
    replaced = [replace(one, in_force_until=at) for one in old.terms if one.version in gone]
    return old, replace(old, terms=tuple(terms), earlier=(*old.earlier, *replaced), limits=limits)


def _as_json(change: RuleChange | LimitChange) -> dict[str, object]:
    of_what: dict[str, object] = {
        "controller": str(change.controller.pk),
        "purpose": str(change.purpose.pk),
    }
    if isinstance(change, LimitChange):
        return of_what | {
            "kind": "limit",
            "floor_months": change.floor_months,
            "ceiling_months": change.ceiling_months,
        }
    return of_what | {
        "kind": "rule",
        "rule": str(change.rule.pk) if change.rule else None,
        "name": change.rule.name if change.rule else change.name,
        "version": str(uuid7()),
        "terms": _terms_as_text(change.draft) if change.draft else None,
    }


def _terms_as_text(draft: Draft) -> dict[str, str | None]:
    said = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(draft).items()
    }
    version = RuleVersion(**said)
    return {
        name: None if value is None else _field(name).value_to_string(version)
        for name, value in said.items()
    }


def _field(name: str) -> Field[Any, Any]:
    field = RuleVersion._meta.get_field(name)
    assert isinstance(field, Field)
    return field
