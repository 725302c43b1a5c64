"""Declares of every field of every model whose personal data it holds, and what ends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    """Whose data a field holds, and in which form (GDPR Art. 4(1) and 4(5))."""

    NONE = "none"
    STAFF = "staff"
    STAFF_REFERENCE = "staff, by reference"
    CUSTOMER = "customer"
    CUSTOMER_REFERENCE = "customer, by reference"
    CONTACT = "contact"
    CONTENT = "content, encrypted"
    TEXT = "free text"
    SECRET = "secret"  # noqa: S105 (a category, not a secret)


MEANINGS: dict[Category, str] = {
    Category.NONE: "nothing about a person",
    Category.STAFF: "names or describes somebody who works here",
    Category.STAFF_REFERENCE: "points to somebody who works here by an identifier",
    Category.CUSTOMER: "can name a customer, or a number of hers",
    Category.CUSTOMER_REFERENCE: "points to a customer by a random reference or a keyed hash",
    Category.CONTACT: "says of a contact when, how and about which line it was",
    Category.CONTENT: "what was said or who said it, encrypted under the conversation's key",
    Category.TEXT: "written by staff; is to name nobody, and could",
    Category.SECRET: "a key, or what stands for a person who has signed in",
}


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a model holds: the category of each field, and when that ends."""

    ends: str
    fields: Mapping[str, Category]


def _declare(ends: str, **fields_by_category: str) -> Declaration:
    """Take `category="field field …"`, by the category's name in lower case."""
    fields = {
        field: Category[name.upper()]
        for name, listed in fields_by_category.items()
        for field in listed.split()
    }
    if len(fields) != sum(len(listed.split()) for listed in fields_by_category.values()):
        raise ValueError("A field is declared twice.")
    return Declaration(ends, fields)


_STAYS = "holds no personal data"
_NOT_YET = "nothing ends it yet"
_STAFF_ROW = "with the person's row; erasing staff is not built yet"
_CERTIFIED = "deleted when the term of the certificate is past: `CERTIFICATE_KEPT_YEARS`"
_RESIDUAL = f"stays as residual record after destruction; {_CERTIFIED}"
_CONTENT = "deleted when the conversation is destroyed"
_EVIDENCE = f"stays as evidence; {_NOT_YET}"

PERSONAL_DATA: dict[str, Declaration] = {
    "audit.Log": _declare(_STAYS, none="name created_at"),
    "audit.Event": _declare(
        "cut after the log's own term, once two persons agreed",
        none="id log about_conversation month recorded_at event_id event_type target_kind "
        "purpose basis outcome",
        staff_reference="actor actor_role target",
        customer_reference="subject",
        contact="happened_at conversation body",
    ),
    "audit.AuditDetail": _declare(
        "after AUDIT_DETAIL_KEPT_DAYS, earlier when asked or cut, unless its log is held",
        none="event_id delete_after log",
        secret="salt",  # noqa: S106 (a category)
        text="text",
    ),
    "audit.Origin": _declare(_STAYS, none="log number origin from_size continues started_at"),
    "audit.Leaf": _declare(
        "stays, so that the rest of the log can still be proven: a hash says nothing of its event",
        none="log leaf_index event about_conversation month hash",
    ),
    "audit.Node": _declare(_STAYS, none="log level node_index hash"),
    "audit.Checkpoint": _declare(_STAYS, none="log size origin root note fingerprint sealed_at"),
    "audit.Anchor": _declare(_STAYS, none="log size key anchored_at"),
    "audit.Cosignature": _declare(_STAYS, none="log size witness lines witnessed_at anchor_key"),
    "audit.TimeStamp": _declare(_STAYS, none="log size response stamped_at anchor_key"),
    "audit.SealingKey": _declare(_STAYS, none="fingerprint public_key introduced_at number"),
    "audit.Delivery": _declare(
        _STAYS,
        none="log month place manifest_digest delivered_at failed_at failure",
    ),
    "audit.SavedSearch": _declare(
        _STAFF_ROW,
        none="id log created_at",
        staff_reference="owner query",
        text="name",
    ),
    "audit.LogTerm": _declare(
        "stays as evidence of why a log was kept that long",
        none="id log months set_at",
        staff_reference="set_by",
        text="legal_reason",
    ),
    "audit.LogHold": _declare(
        "stays as evidence of when a log was held",
        none="id log placed_at lifted_at",
        staff_reference="placed_by lifted_by",
    ),
    "audit.Cut": _declare(
        "stays, so that it can be told which events were cut and which are missing",
        none="id log about_conversation until_month events first_leaf last_leaf root proposed_at "
        "agreed_at replaced_at done_at",
        staff_reference="proposed_by agreed_by",
    ),
    "audit.Stream": _declare(
        _STAYS,
        none="destination address directed_at ended_at error failing_since incident_raised_at",
    ),
    "audit.StreamCursor": _declare(_STAYS, none="stream log next_index missing delivered_at"),
    "accounts.Controller": _declare(_STAYS, none="id name slug time_zone rules_released_at"),
    "accounts.Team": _declare(_STAYS, none="id name slug employer"),
    "accounts.Queue": _declare(_STAYS, none="id controller name slug holds_health_data"),
    "accounts.Purpose": _declare(_STAYS, none="id code name_fi name_sv name_en"),
    "accounts.PrivacyNotice": _declare(
        _STAYS, none="id controller version in_force_from recorded_at"
    ),
    "accounts.NoticedTime": _declare(_STAYS, none="id notice purpose months"),
    "accounts.Source": _declare(_STAYS, none="id slug name controller default_team released_at"),
    "accounts.User": _declare(
        "erasing staff is not built yet",
        staff="email full_name login employer language uses_letter_keys skips_silence "
        "playback_speed last_login is_active is_staff is_superuser groups user_permissions",
        staff_reference="id reference",
        secret="password",  # noqa: S106 (a category)
    ),
    "accounts.RoleAssignment": _declare(
        _STAFF_ROW, none="id controller", staff_reference="user", staff="role from_at until_at"
    ),
    "accounts.TeamPermission": _declare(
        _STAFF_ROW,
        none="id permission content_object purpose",
        staff_reference="user",
        staff="from_at until_at",
        text="reason",
    ),
    "accounts.UndertakingText": _declare(
        _STAYS, none="version text_fi text_sv text_en in_force_from valid_months"
    ),
    "accounts.Undertaking": _declare(
        _STAFF_ROW, none="id text", staff_reference="user", staff="from_at until_at"
    ),
    "recordings.Conversation": _declare(
        "`external_id`, `outcome`, `tags`, `language` and `message_count` are emptied and the key "
        f"destroyed with the content; the rest {_RESIDUAL}",
        none="state destroy_after uncovered_at hold_count withdrawn_at key_destroyed_at "
        "destroyed_at kek_name notice informed_by source controller",
        customer="external_id",
        customer_reference="external_id_hash content_hash",
        contact="id kind direction started_at ended_at duration_seconds message_count language "
        "outcome tags linked_to captured_at open_requests restricted_at closed_at",
        secret="wrapped_key",  # noqa: S106 (a category)
    ),
    "recordings.StoredObject": _declare(
        f"{_CONTENT}; key, version and digest stay on the certificate's line",
        none="id key version_id plain_size_bytes stored_size_bytes ciphertext_sha256 "
        "stream_header legal_hold",
        contact="conversation",
    ),
    "recordings.Dialog": _declare(
        _CONTENT,
        none="id position kind mediatype codec sample_rate channels channel_roles stored_object",
        contact="conversation started_at duration_seconds content_hash",
        content="sealed_name",
    ),
    "recordings.Rendition": _declare(
        _CONTENT,
        none="id kind mediatype stored_object",
        contact="dialog",
        content="sealed_body",
    ),
    "recordings.DataSubject": _declare(
        f"outlives the conversations; {_NOT_YET}",
        none="controller",
        customer_reference="id identifier_hash",
    ),
    "recordings.BusinessReference": _declare(
        _CONTENT,
        none="id kind",
        customer_reference="reference_hash",
        contact="conversation",
    ),
    "recordings.Party": _declare(
        _CONTENT,
        none="id position role",
        staff_reference="user",
        customer_reference="data_subject",
        contact="conversation",
        content="sealed_details",
    ),
    "recordings.Segment": _declare(
        f"`agent` is emptied with the content; the rest {_RESIDUAL}",
        none="id team queue",
        contact="conversation from_at until_at",
        staff_reference="agent",
    ),
    "recordings.QuarantinedItem": _declare(
        "name, reason and key end with the time to decide; the rest stays so that its bytes do "
        f"not come back; {_NOT_YET}",
        none="id source controller received_at decide_before reason size_bytes object_key "
        "version_id kek_name key_destroyed_at destroyed_at",
        contact="content_hash",
        content="sealed_name",
        secret="wrapped_key",  # noqa: S106 (a category)
    ),
    "recordings.PermittedUse": _declare(
        f"those of a matter's handlers are deleted with the content; the rest {_RESIDUAL}",
        none="id purpose authority_kind authority",
        contact="conversation from_at until_at",
        staff_reference="only_for",
    ),
    "retention.RetentionRule": _declare(_STAYS, none="id controller purpose name"),
    "retention.RuleVersion": _declare(
        _EVIDENCE,
        none="id rule number is_retired in_force_from kinds teams queues directions outcomes "
        "languages tags shortest_seconds longest_seconds is_exclusion trigger keep_months "
        "keep_days cap_months legal_basis statute article_9_condition created_at proposal "
        "is_shortening urgency taken_back_at",
        staff_reference="created_by approved_by taken_back_by",
    ),
    "retention.PurposeLimit": _declare(
        _EVIDENCE,
        none="id controller purpose number floor_months ceiling_months source in_force_from "
        "created_at proposal is_shortening urgency taken_back_at",
        staff_reference="created_by approved_by taken_back_by",
    ),
    "retention.Proposal": _declare(
        _EVIDENCE,
        none="id deed controller purpose rule source run name terms based_on wanted_from urgency "
        "proposed_at state decided_at used_at",
        text="reason decision_reason",
        staff_reference="proposed_by decided_by",
    ),
    "retention.Recomputation": _declare(
        _STAYS,
        none="id controller requested_at heartbeat_at finished_at replaced_at reached total_count "
        "done_count changed_count",
    ),
    "retention.Simulation": _declare(
        _NOT_YET,
        none="id proposal controllers changes at asked_at heartbeat_at finished_at needs_person_at "
        "attempts done_count total_count",
        contact="result",
        staff_reference="asked_by",
    ),
    "retention.BusinessEvent": _declare(
        "deleted `BUSINESS_EVENT_KEPT_DAYS` after it arrived, once nothing kept is about it",
        none="id controller event_type recorded_at",
        customer_reference="reference_hash",
        contact="happened_at",
    ),
    "retention.TaskEnd": _declare(_STAYS, none="task ended_at"),
    "retention.Notice": _declare(
        _STAYS,
        none="id controller about days_left after_at until_at count first_before noted_at sent_at",
    ),
    "retention.Disposition": _declare(
        _EVIDENCE,
        none="id controller about target kind subject_is_told proposed_at agreed_at ended_at "
        "done_at",
        staff_reference="proposed_by agreed_by",
        text="reason",
    ),
    "retention.Matter": _declare(
        _EVIDENCE,
        none="id controller opened_at review_at closed_at",
        text="code name reason",
        staff_reference="opened_by",
    ),
    "retention.MatterHandler": _declare(
        _STAFF_ROW, none="id matter named_at", staff_reference="user"
    ),
    "retention.MatterReview": _declare(
        _EVIDENCE,
        none="id matter reviewed_at next_at",
        text="reason",
        staff_reference="reviewed_by",
    ),
    "retention.Criterion": _declare(
        _EVIDENCE,
        none="id matter kinds teams queues source ended_from ended_until set_at dropped_at reached "
        "total_count done_count too_late_count heartbeat_at applied_at",
        staff_reference="agent set_by",
        customer_reference="customer_hash",
    ),
    "retention.Lifting": _declare(
        _EVIDENCE,
        none="id matter kind criterion hold_ids proposed_at agreed_at taken_back_at total_count "
        "lifted_count heartbeat_at finished_at",
        text="reason",
        staff_reference="proposed_by agreed_by",
    ),
    "retention.Hold": _declare(
        f"stays as evidence; {_CERTIFIED}",
        none="id matter placed_at lifted_at criterion lifting",
        contact="conversation",
        staff_reference="placed_by lifted_by",
    ),
    "retention.PurgeRun": _declare(
        _STAYS,
        none="id state actor started_at heartbeat_at finished_at due_count held_count "
        "request_count observed_count slow_since stop_asked_at",
    ),
    "retention.PurgePause": _declare(
        _STAYS, none="id reason began_at ended_at", staff_reference="began_by ended_by"
    ),
    "retention.Certificate": _declare(
        _CERTIFIED,
        none="id run controller number issued_at keep_until line_count digest seal sealed_at",
        staff_reference="fields",
    ),
    "retention.LedgerEntry": _declare(_STAYS, none="key noted_at", contact="contradicted"),
    "recordings.Rewrap": _declare(_STAYS, none="id kek_name day"),
    "recordings.DestroyedKek": _declare(
        _STAYS, none="id kek_name destroyed_at last_copy_lapses_at"
    ),
    "retention.Destruction": _declare(
        f"the certificate's line; {_CERTIFIED}",
        none="id run controller rule_versions objects_destroyed method withdrawn_at "
        "key_destroyed_at ledger_key deleted_at confirmed_at concluded_at recalled_at lease_token "
        "leased_until attempts next_try_at problem needs_person_at certificate leaf_index",
        contact="conversation kind ended_at destroy_after line",
    ),
    "account.EmailAddress": _declare(
        _STAFF_ROW, none="id verified primary", staff_reference="user", staff="email"
    ),
    "account.EmailConfirmation": _declare(
        "not used: no mail is sent",
        none="id created sent",
        staff_reference="email_address",
        secret="key",  # noqa: S106 (a category)
    ),
    "usersessions.UserSession": _declare(
        "deleted with the session it belongs to, when the list is next looked at",
        none="id",
        staff_reference="user",
        staff="created_at ip last_seen_at user_agent data",
        secret="session_key",  # noqa: S106 (a category)
    ),
    "sessions.Session": _declare(
        "eight hours at most; nothing runs `clearsessions` yet, which deletes what has expired",
        none="expire_date",
        staff_reference="session_data",
        secret="session_key",  # noqa: S106 (a category)
    ),
    "admin.LogEntry": _declare(
        "stays empty: the administrator's site changes nothing",
        none="id action_time content_type object_id action_flag",
        staff_reference="user",
        text="object_repr change_message",
    ),
    "auth.Group": _declare("not used", none="id name permissions"),
    "auth.Permission": _declare(_STAYS, none="id name content_type codename"),
    "contenttypes.ContentType": _declare(_STAYS, none="id app_label model"),
    "guardian.UserObjectPermission": _declare(
        "not used: `accounts.TeamPermission` takes its place",
        none="id permission content_type object_pk",
        staff_reference="user",
    ),
    "guardian.GroupObjectPermission": _declare(
        "not used", none="id permission content_type object_pk group"
    ),
}
