"""Turns a new event into its body: the canonical text that is kept, hashed and exported."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from uuid_utils.compat import uuid7

from audit import canonical, request_id
from audit.events import EventRefused, NewEvent, is_reference, log_name
from audit.fact_forms import instant
from audit.registry import REGISTRY, EventRule, checked_fact

BODY_VERSION = 1
LARGEST_BODY_BYTES = 65_535
SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class SealedDetail:
    """The erasable part of an event: what the body's `pd` commits to, with its salt."""

    salt: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Written:
    """An event ready for the tables."""

    event_id: UUID
    log: str
    is_about_conversation: bool
    body: str
    detail: SealedDetail | None


def write(event: NewEvent) -> Written:
    """
    Check the event against the registry and write its body.

    Members that say nothing are left out of the body.

    Raises EventRefused for what the registry does not allow, `audit.canonical.NotCanonical` for a
    detail that cannot be written.
    """
    rule = REGISTRY[event.event_type]
    conversation = _conversation(event, rule)
    _check_what_it_needs(event, rule)
    outcome = event.outcome or rule.outcomes[0]
    if outcome not in rule.outcomes:
        raise EventRefused(f"{event.event_type} does not end in {outcome}.")
    event_id = _identifier(event)
    detail = _sealed(event.detail) if event.detail else None
    request = request_id.current()
    target = event.target
    members: dict[str, object] = {
        "v": BODY_VERSION,
        "id": str(event_id),
        "ts": instant(event.now),
        "ctl": str(event.log) if event.log else None,
        "act": _without_nothing(
            {"t": event.actor.kind, "ref": event.actor.reference, "role": event.actor.role}
        ),
        "op": event.event_type.value,
        "obj": _without_nothing({"t": target.kind, "ref": target.reference, "ver": target.version})
        if target
        else None,
        "sub": str(event.subject) if event.subject else None,
        "pur": event.purpose,
        "bas": event.basis,
        "out": outcome.value,
        "req": {"id": request} if request else None,
        "pd": commitment(salt=detail.salt, text=detail.text) if detail else None,
        "x": _facts(event, rule, conversation) or None,
    }
    body = canonical.dumps(_without_nothing(members))
    if len(body.encode()) > LARGEST_BODY_BYTES:
        raise EventRefused("The event is longer than 65535 bytes.")
    return Written(event_id, log_name(event.log), conversation is not None, body, detail)


def commitment(*, salt: bytes, text: str) -> str:
    """
    What a body's `pd` holds for a detail: base64 of SHA-256(salt ‖ canonical detail).

    The salt makes a detail of few possible values impossible to guess once its row is erased.
    """
    return base64.b64encode(hashlib.sha256(salt + text.encode()).digest()).decode()


def _identifier(event: NewEvent) -> UUID:
    # Version 7 of the given time, so that no host's clock is asked and identifiers sort by `ts`.
    return uuid7(nanoseconds=round(event.now.timestamp() * 1_000_000) * 1_000)


def _conversation(event: NewEvent, rule: EventRule) -> UUID | None:
    target_id = None
    if event.target is not None and event.target.kind == "conversation":
        target_id = UUID(event.target.reference)
    if event.conversation is not None and target_id not in (None, event.conversation):
        raise EventRefused("The event speaks of one conversation and has another as its target.")
    conversation = event.conversation or target_id
    if conversation is None and rule.needs_conversation:
        raise EventRefused(f"{event.event_type} must say which conversation.")
    return conversation


def _check_what_it_needs(event: NewEvent, rule: EventRule) -> None:
    if rule.needs_purpose and event.purpose is None:
        raise EventRefused(f"{event.event_type} must say for which purpose.")
    if rule.needs_basis and event.basis is None:
        raise EventRefused(f"{event.event_type} must say on which basis.")
    for text in (event.purpose, event.basis):
        if text is not None and not is_reference(text):
            raise EventRefused("Purpose and basis are codes.")


def _facts(event: NewEvent, rule: EventRule, conversation: UUID | None) -> dict[str, object]:
    facts: dict[str, object] = {}
    for key, value in (event.facts or {}).items():
        if key not in rule.facts:
            raise EventRefused(f"{event.event_type} has no fact called {key}.")
        if value is not None:
            facts[key] = checked_fact(key, value)
    if conversation is not None and (event.target is None or event.target.kind != "conversation"):
        facts["conversation"] = str(conversation)
    if rule.expects_subject and event.subject is None:
        facts["subject_unknown"] = True
    return facts


def _sealed(detail: Mapping[str, str]) -> SealedDetail:
    return SealedDetail(secrets.token_bytes(SALT_BYTES), canonical.dumps(dict(detail)))


def _without_nothing(members: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in members.items() if value is not None}
