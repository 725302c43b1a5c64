"""What a version of a rule shall say, before it is one: the one list of its fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField

from retention.models import RuleVersion


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


def fields_of(draft: Draft) -> dict[str, Any]:
    """What the draft says, by the names of a version's fields."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(draft).items()
    }


def draft_of(version: RuleVersion) -> Draft:
    """What the version says."""
    return draft_from({field.name: getattr(version, field.name) for field in fields(Draft)})


def draft_of_terms(terms: Mapping[str, Any]) -> Draft:
    """What a proposal's terms say, with the values that a version has."""
    version = RuleVersion(**terms)
    others = {field.name for field in RuleVersion._meta.fields} - terms.keys()
    version.clean_fields(exclude=others)
    for field in RuleVersion._meta.fields:
        # Cleaning leaves what is in an array as JSON has it: identifiers as texts.
        if isinstance(field, ArrayField) and field.name in terms:
            values = [field.base_field.to_python(value) for value in terms[field.name]]
            setattr(version, field.name, values)
    return draft_of(version)


def differences(version: RuleVersion, draft: Draft) -> list[str]:
    """The names of what the draft says otherwise; the order of a list says nothing."""
    old, new = fields_of(draft_of(version)), fields_of(draft)
    return [name for name in old if _in_order(old[name]) != _in_order(new[name])]


def _in_order(value: object) -> object:
    return sorted(value) if isinstance(value, list) else value
