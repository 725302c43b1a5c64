"""What an event says: its type, who did it, to what, with which outcome."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, NotRequired, TypedDict
from uuid import UUID

FactValue = str | int | bool | UUID | datetime | list[str] | list[UUID] | None

INSTALLATION = "installation"

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_UUID_PATTERN = re.compile(_UUID)
_REFERENCE = re.compile(r"[a-z][a-z0-9_.:-]{0,159}")
# Codes are chosen by programmers. Five digits in a row are no code but a number of somebody's:
# a telephone, a customer, an identity code.
_LONG_NUMBER = re.compile(r"\d{5}")


class EventRefused(ValueError):
    """The event is not one the registry knows, or says what an event may not say."""


class EventType(StrEnum):
    """What can happen, as noun.past_participle; `audit.registry` says what each may carry."""

    CONVERSATION_CAPTURED = "conversation.captured"
    CAPTURE_REFUSED = "capture.refused"
    CAPTURE_QUARANTINED = "capture.quarantined"
    QUARANTINE_VIEWED = "quarantine.viewed"
    QUARANTINE_ENDED = "quarantine.ended"
    QUARANTINE_DESTROYED = "quarantine.destroyed"
    SOURCE_RELEASED = "source.released"

    CONVERSATIONS_LISTED = "conversations.listed"
    CONVERSATIONS_SEARCHED = "conversations.searched"
    CONVERSATION_VIEWED = "conversation.viewed"
    CONVERSATION_EXPLAINED = "conversation.explained"
    CONVERSATION_REFUSED = "conversation.refused"
    DIALOG_PLAYED = "dialog.played"
    PLAYBACK_REFUSED = "playback.refused"
    CHAT_READ = "chat.read"

    PERMITTED_USES_COMPUTED = "permitted_uses.computed"
    CONVERSATION_COVERED = "conversation.covered"
    RULE_CREATED = "rule.created"
    RULE_CHANGED = "rule.changed"
    RULE_RETIRED = "rule.retired"
    PURPOSE_LIMIT_CHANGED = "purpose_limit.changed"
    SIMULATION_REQUESTED = "simulation.requested"
    SIMULATION_VIEWED = "simulation.viewed"
    PROPOSAL_MADE = "proposal.made"
    PROPOSAL_REFUSED = "proposal.refused"
    PROPOSAL_TAKEN_BACK = "proposal.taken_back"
    APPROVAL_REFUSED = "approval.refused"
    RULE_HASTENED = "rule.hastened"
    RULES_ENFORCED = "rules.enforced"
    RULES_RELEASED = "rules.released"
    PRIVACY_NOTICE_RECORDED = "privacy_notice.recorded"
    BUSINESS_EVENT_RECORDED = "business_event.recorded"

    MATTER_OPENED = "matter.opened"
    MATTER_CLOSED = "matter.closed"
    MATTER_HANDLER_ADDED = "matter.handler_added"
    MATTER_REVIEWED = "matter.reviewed"
    CRITERION_SET = "criterion.set"
    CRITERION_APPLIED = "criterion.applied"
    CRITERION_DROPPED = "criterion.dropped"
    LIFTING_PROPOSED = "lifting.proposed"
    LIFTING_AGREED = "lifting.agreed"
    LIFTING_TAKEN_BACK = "lifting.taken_back"
    LIFTING_FINISHED = "lifting.finished"
    HOLD_PLACED = "hold.placed"
    HOLD_LIFTED = "hold.lifted"
    HOLD_MIRRORED = "hold.mirrored"
    HOLD_TOO_LATE = "hold.too_late"

    CONVERSATION_WITHDRAWN = "conversation.withdrawn"
    CONVERSATION_RECALLED = "conversation.recalled"
    CONVERSATION_CLOSED = "conversation.closed"
    CONTENT_KEY_DESTROYED = "content_key.destroyed"
    LEDGER_WRITTEN = "ledger.written"
    LEDGER_REPLAYED = "ledger.replayed"
    CONVERSATION_DESTROYED = "conversation.destroyed"
    DESTRUCTION_FAILED = "destruction.failed"
    DESTRUCTION_RETRIED = "destruction.retried"
    PURGE_RUN_STARTED = "purge_run.started"
    PURGE_RUN_FINISHED = "purge_run.finished"
    PURGE_RUN_BRAKED = "purge_run.braked"
    PURGE_RUN_RELEASED = "purge_run.released"
    PURGE_RUN_STOPPED = "purge_run.stopped"
    PURGE_PAUSED = "purge.paused"
    PURGE_RESUMED = "purge.resumed"
    PURGE_RUN_MAINTAINED = "purge_run.maintained"
    CERTIFICATE_ISSUED = "certificate.issued"
    CERTIFICATE_DOWNLOADED = "certificate.downloaded"
    CERTIFICATE_DELETED = "certificate.deleted"
    KEK_DESTROYED = "kek.destroyed"
    KEYRING_ESCROWED = "keyring.escrowed"
    KEYRING_RESTORED = "keyring.restored"
    STORE_RECONCILED = "store.reconciled"
    DECISION_REMINDED = "decision.reminded"
    DISPOSITION_PROPOSED = "disposition.proposed"
    DISPOSITION_AGREED = "disposition.agreed"
    DISPOSITION_ENDED = "disposition.ended"
    DISPOSITION_DONE = "disposition.done"
    INCIDENT_RAISED = "incident.raised"

    UNDERTAKING_ACCEPTED = "undertaking.accepted"
    SESSION_SIGNED_IN = "session.signed_in"
    SESSION_REFUSED = "session.refused"
    SESSION_SIGNED_OUT = "session.signed_out"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105 (the name of what happened)
    TEAM_PERMISSION_GRANTED = "team_permission.granted"
    TEAM_PERMISSION_REVOKED = "team_permission.revoked"
    ROLE_ASSIGNED = "role.assigned"
    ROLE_ENDED = "role.ended"
    USER_CREATED = "user.created"

    PAGE_REFUSED = "page.refused"
    AUDIT_LISTED = "audit.listed"
    AUDIT_VERIFICATION_REQUESTED = "audit.verification_requested"
    AUDIT_VERIFIED = "audit.verified"
    AUDIT_EXPORTED = "audit.exported"
    BUNDLE_COMPLETED = "bundle.completed"
    BUNDLE_DELIVERED = "bundle.delivered"
    DETAIL_ERASED = "detail.erased"
    SUBJECT_REPORTED = "subject.reported"

    LOG_TERM_CHANGED = "log_term.changed"
    LOG_HOLD_PLACED = "log_hold.placed"
    LOG_HOLD_LIFTED = "log_hold.lifted"
    CUT_PROPOSED = "cut.proposed"
    CUT_AGREED = "cut.agreed"
    AUDIT_CUT = "audit.cut"

    SEALING_KEY_INTRODUCED = "sealing_key.introduced"
    LOG_RESTARTED = "log.restarted"

    STREAM_DIRECTED = "stream.directed"
    STREAM_ENDED = "stream.ended"


class Outcome(StrEnum):
    """Whether the deed was allowed and done, refused, or tried in vain."""

    ALLOW = "allow"
    DENY = "deny"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it: a person by random reference, or a part of the system."""

    kind: Literal["user", "system"]
    reference: str
    role: str | None = None

    def __post_init__(self) -> None:
        """Refuse a reference that could say who the person is."""
        if self.kind == "user":
            sound = is_uuid(self.reference)
        else:
            head, _colon, part = self.reference.partition(":")
            sound = head == "system" and is_reference(part)
        if not sound or not (self.role is None or is_reference(self.role)):
            raise EventRefused("An actor is a user's random reference or a part of the system.")

    @classmethod
    def user(cls, reference: UUID, *, role: str | None = None) -> Actor:
        """The person with this random reference, acting in this role."""
        return cls("user", str(reference), role)

    @classmethod
    def system(cls, part: str) -> Actor:
        """A part of the system, such as `purge`: its reference is `system:purge`."""
        return cls("system", f"system:{part}")


@dataclass(frozen=True, slots=True)
class Target:
    """What it was done to: a kind, a reference (uuid or code), and its version if it has any."""

    kind: str
    reference: str
    version: str | None = None

    def __post_init__(self) -> None:
        """Refuse what could be a name, a number or an address."""
        if not is_reference(self.kind) or not (
            is_uuid(self.reference) or is_reference(self.reference)
        ):
            raise EventRefused("A target is a kind and an identifier or a code.")
        if self.version is not None and not re.fullmatch(r"[a-z0-9.-]{1,40}", self.version):
            raise EventRefused("A target's version is a short code.")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event about to be appended; see `audit.operations.append` for its members."""

    event_type: EventType
    actor: Actor
    now: datetime
    log: UUID | None
    target: Target | None = None
    subject: UUID | None = None
    purpose: str | None = None
    basis: str | None = None
    outcome: Outcome | None = None
    conversation: UUID | None = None
    facts: Mapping[str, FactValue] | None = None
    detail: Mapping[str, str] | None = None


class EventMembers(TypedDict):
    """The members of a NewEvent, as keyword arguments."""

    event_type: EventType
    actor: Actor
    now: datetime
    log: UUID | None
    target: NotRequired[Target | None]
    subject: NotRequired[UUID | None]
    purpose: NotRequired[str | None]
    basis: NotRequired[str | None]
    outcome: NotRequired[Outcome | None]
    conversation: NotRequired[UUID | None]
    facts: NotRequired[Mapping[str, FactValue] | None]
    detail: NotRequired[Mapping[str, str] | None]


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID in its one canonical form (lower case, with hyphens)."""
    return _UUID_PATTERN.fullmatch(text) is not None


def is_reference(text: str) -> bool:
    """
    Whether the text is a code that programmers chose, with identifiers in it at most.

    Such as `coaching`, `storage.unavailable` or `team_permission:<uuid>`. Capitals, spaces, `@`,
    `+` and long numbers are not: what names a person or can be called rarely passes.
    """
    without_ids = _UUID_PATTERN.sub("id", text)
    return bool(_REFERENCE.fullmatch(text)) and not _LONG_NUMBER.search(without_ids)


def log_name(log: UUID | None) -> str:
    """What the log of this controller, or of the installation (None), is called in the tables."""
    return INSTALLATION if log is None else str(log)


def log_of(name: str) -> UUID | None:
    """
    The controller whose log bears this name, or None for the installation's.

    Raises ValueError if it is no log's name.
    """
    return None if name == INSTALLATION else UUID(name)
