"""What each type of event may say: the facts it may carry and what it may not be without."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.events import EventRefused, EventType, Outcome
from audit.fact_forms import WRITERS, FactKind, instant

__all__ = ["FACTS", "REGISTRY", "EventRule", "FactKind", "checked_fact", "instant"]

ALLOW, DENY, ERROR = Outcome.ALLOW, Outcome.DENY, Outcome.ERROR


K = FactKind

# Every key means the same wherever it stands, so its form and its label are said once.
FACTS: dict[str, tuple[FactKind, Promise | str]] = {
    "about_conversations": (K.FLAG, _("About conversations")),
    "action": (K.CODE, _("Action")),
    "anchors": (K.COUNT, _("Anchored heads")),
    "bytes": (K.BYTES, _("Bytes")),
    "changed": (K.CODES, _("What was changed")),
    "controllers": (K.UUIDS, _("Controllers")),
    "conversation": (K.UUID, _("Conversation")),
    "conversations": (K.COUNT, _("Conversations")),
    "count": (K.COUNT, _("Number")),
    "destroy_after": (K.INSTANT, _("Kept until")),
    "destroyed": (K.COUNT, _("Destroyed")),
    "dialogs": (K.COUNT, _("Dialogs")),
    "digest": (K.DIGEST, _("SHA-256")),
    "dry_run": (K.FLAG, _("Only tried out")),
    "due": (K.COUNT, _("Due")),
    "error": (K.CODE, _("Error")),
    "export": (K.UUID, _("Export")),
    "failed": (K.COUNT, _("Failed")),
    "faults": (K.COUNT, _("Faults")),
    "filters": (K.CODES, _("Filters")),
    "first_byte": (K.BYTES, _("First byte")),
    "first_leaf": (K.COUNT, _("First leaf")),
    "format": (K.CODE, _("Format")),
    "from": (K.INSTANT, _("From")),
    "held": (K.COUNT, _("Held")),
    "hold": (K.UUID, _("Hold")),
    "key": (K.DIGEST, _("Key")),
    "kind": (K.CODE, _("Kind")),
    "last_byte": (K.BYTES, _("Last byte")),
    "last_leaf": (K.COUNT, _("Last leaf")),
    "leaves": (K.DIGEST, _("Digest of the leaves")),
    "legal_basis": (K.CODE, _("Legal basis")),
    "lifting": (K.UUID, _("Lifting")),
    "limit": (K.COUNT, _("Limit")),
    "linked_to": (K.UUID, _("Linked to")),
    "lost": (K.COUNT, _("Lost")),
    "matter": (K.UUID, _("Matter")),
    "messages": (K.COUNT, _("Messages")),
    "method": (K.CODE, _("Method")),
    "methods": (K.CODES, _("Methods")),
    "months": (K.COUNT, _("Months")),
    "cut": (K.UUID, _("Cut")),
    "criterion": (K.UUID, _("Criterion")),
    "days": (K.COUNT, _("Days")),
    "need_person": (K.COUNT, _("Need a person")),
    "objects": (K.COUNT, _("Objects")),
    "page": (K.CODE, _("Page")),
    "permission": (K.CODE, _("Permission")),
    "play": (K.UUID, _("Listening")),
    "previous": (K.DIGEST, _("Previous key")),
    "priority": (K.COUNT, _("Priority")),
    "proposal": (K.UUID, _("Proposal")),
    "proposer": (K.UUID, _("Proposed by")),
    "quarantined": (K.UUID, _("Quarantined item")),
    "reason": (K.CODE, _("Reason")),
    "renditions": (K.COUNT, _("Renditions")),
    "rendition": (K.UUID, _("Rendition")),
    "role": (K.CODE, _("Role")),
    "root": (K.DIGEST, _("Root of the tree")),
    "rule": (K.UUID, _("Rule")),
    "rules": (K.UUIDS, _("Rules")),
    "run": (K.UUID, _("Purge run")),
    "scanned": (K.COUNT, _("Looked at")),
    "size": (K.COUNT, _("Size of the tree")),
    "source": (K.UUID, _("Source")),
    "state": (K.CODE, _("State")),
    "step": (K.CODE, _("Step")),
    "staff": (K.FLAG, _("Staff included")),
    "subject_told": (K.FLAG, _("Data subject is told")),
    "tables": (K.COUNT, _("Tables")),
    "subject_unknown": (K.FLAG, _("Data subject not known")),
    "team": (K.UUID, _("Team")),
    "teams": (K.UUIDS, _("Teams")),
    "too_late": (K.COUNT, _("Came too late")),
    "urgency": (K.CODE, _("Urgency")),
    "until": (K.INSTANT, _("Until")),
    "user": (K.UUID, _("Person")),
    "uses": (K.COUNT, _("Permitted uses")),
    "version": (K.COUNT, _("Version")),
    "versions": (K.COUNT, _("Object versions")),
    "withdrawn": (K.COUNT, _("Withdrawn")),
    "words": (K.COUNT, _("Search words")),
}


@dataclass(frozen=True, slots=True)
class EventRule:
    """What one type of event may and must say; `outcomes[0]` is what it means unless told."""

    description: Promise | str
    facts: frozenset[str] = frozenset()
    outcomes: tuple[Outcome, ...] = (ALLOW,)
    needs_purpose: bool = False
    needs_basis: bool = False
    # True: without a subject the event says `subject_unknown`, so that silence is never read as
    # "nobody" when a person asks who has consulted her data (CJEU C-579/21).
    expects_subject: bool = False
    needs_conversation: bool = field(default=False)


def _rule(
    description: Promise | str, facts: str = "", *outcomes: Outcome, needs: str = ""
) -> EventRule:
    keys = frozenset(facts.split())
    if unknown := keys - FACTS.keys():
        raise EventRefused(f"No fact is called {', '.join(sorted(unknown))}.")
    needed = set(needs.split())
    return EventRule(
        description=description,
        facts=keys,
        outcomes=outcomes or (ALLOW,),
        needs_purpose="purpose" in needed,
        needs_basis="basis" in needed,
        expects_subject="subject" in needed,
        needs_conversation="conversation" in needed,
    )


T = EventType
_LISTING = "count filters page words teams controllers"
_RULE_FACTS = "version rule months days legal_basis changed kind conversations destroy_after from"
_TWO = " proposal proposer"
_HOLD_FACTS = (
    "matter hold criterion lifting conversations too_late state objects versions failed reason "
    "method"
)
_LIFTING_FACTS = "matter kind criterion conversations"
_PURGE_FACTS = "run rule objects versions bytes destroy_after reason step method state hold"
_CUT_FACTS = "cut about_conversations until count first_leaf last_leaf root leaves"
_DISPOSITION_FACTS = "kind action subject_told"
_RUN_FACTS = (
    "due withdrawn destroyed held failed need_person dry_run limit reason conversations from "
    "until scanned objects versions state"
)

REGISTRY: Mapping[EventType, EventRule] = {
    T.CONVERSATION_CAPTURED: _rule(
        _("A conversation was captured"),
        "source kind dialogs messages renditions bytes uses destroy_after linked_to teams format",
        needs="conversation",
    ),
    T.CAPTURE_REFUSED: _rule(
        _("Capturing was refused"), "source reason quarantined kind format state", DENY
    ),
    T.CAPTURE_QUARANTINED: _rule(
        _("Put aside to be looked into"), "source reason quarantined bytes kind format", DENY, ERROR
    ),
    T.QUARANTINE_VIEWED: _rule(_("What waits to be looked into was viewed"), _LISTING + " source"),
    T.QUARANTINE_ENDED: _rule(
        _("The key of an item in quarantine was destroyed: the time to decide was over"),
        "source until",
    ),
    T.QUARANTINE_DESTROYED: _rule(
        _("An item in quarantine was destroyed"), "source versions bytes"
    ),
    T.SOURCE_RELEASED: _rule(_("A source was released from observation"), "source reason" + _TWO),
    T.CONVERSATIONS_LISTED: _rule(_("Conversations were listed"), _LISTING, needs="purpose"),
    T.CONVERSATIONS_SEARCHED: _rule(_("Conversations were searched"), _LISTING, needs="purpose"),
    T.CONVERSATION_VIEWED: _rule(
        _("A conversation's page was viewed"),
        "team teams kind state matter",
        needs="purpose basis subject conversation",
    ),
    T.CONVERSATION_EXPLAINED: _rule(
        _("It was asked why a conversation is kept"),
        "rule rules uses state destroy_after held until",
        needs="conversation",
    ),
    T.CONVERSATION_REFUSED: _rule(_("A conversation was refused"), "reason state kind page", DENY),
    T.DIALOG_PLAYED: _rule(
        _("A recording was listened to"),
        "play first_byte last_byte bytes rendition kind team matter",
        needs="purpose basis subject conversation",
    ),
    T.PLAYBACK_REFUSED: _rule(
        _("Listening was refused"), "play first_byte last_byte reason rendition state", DENY, ERROR
    ),
    T.CHAT_READ: _rule(
        _("A chat was read"),
        "messages bytes kind team matter rendition",
        needs="purpose basis subject conversation",
    ),
    T.PERMITTED_USES_COMPUTED: _rule(
        _("Permitted uses were computed anew"),
        "rules uses destroy_after conversations reason state rule count",
    ),
    T.CONVERSATION_COVERED: _rule(
        _("A conversation was covered by rules"),
        "rules uses destroy_after state reason rule",
        needs="conversation",
    ),
    T.RULE_CREATED: _rule(_("A retention rule was created"), _RULE_FACTS + " priority" + _TWO),
    T.RULE_CHANGED: _rule(_("A retention rule was changed"), _RULE_FACTS + " priority" + _TWO),
    T.RULE_RETIRED: _rule(_("A retention rule was retired"), _RULE_FACTS + " reason" + _TWO),
    T.PURPOSE_LIMIT_CHANGED: _rule(
        _("The limits of a purpose were changed"),
        "months days changed version legal_basis from" + _TWO,
    ),
    T.SIMULATION_REQUESTED: _rule(_("A change of rules was simulated"), "rules count"),
    T.SIMULATION_VIEWED: _rule(_("A simulated change of rules was looked at"), "rules count"),
    T.PROPOSAL_MADE: _rule(
        _("Something was proposed that a second person decides"),
        _RULE_FACTS + " urgency source run due",
    ),
    T.PROPOSAL_REFUSED: _rule(_("A second person refused what was proposed"), "kind rule state"),
    T.PROPOSAL_TAKEN_BACK: _rule(_("What was proposed was taken back"), "kind rule state"),
    T.APPROVAL_REFUSED: _rule(
        _("Deciding alone what needs two persons was refused"), "kind reason", DENY
    ),
    T.RULE_HASTENED: _rule(
        _("A shortening was put in force without its cooling time"), "urgency from" + _TWO
    ),
    T.RULES_ENFORCED: _rule(_("The time of rules that waited has come"), "from"),
    T.RULES_RELEASED: _rule(_("A company's rules were released from observation"), _TWO),
    T.PRIVACY_NOTICE_RECORDED: _rule(_("A privacy notice was recorded"), "from changed"),
    T.BUSINESS_EVENT_RECORDED: _rule(
        _("The end of a contract or the closing of a claim was recorded"), "kind from conversations"
    ),
    T.MATTER_OPENED: _rule(_("A matter was opened"), "kind legal_basis"),
    T.MATTER_CLOSED: _rule(_("A matter was closed"), "conversations reason count"),
    T.MATTER_HANDLER_ADDED: _rule(
        _("A case handler was added to a matter"), "user until matter from"
    ),
    T.MATTER_REVIEWED: _rule(_("A matter was looked at again"), "until"),
    T.CRITERION_SET: _rule(
        _("A matter was given a criterion of what it holds"), "matter conversations filters"
    ),
    T.CRITERION_APPLIED: _rule(
        _("A criterion has gone through all that was there"), "matter conversations too_late"
    ),
    T.CRITERION_DROPPED: _rule(_("A criterion was dropped"), "matter lifting"),
    T.LIFTING_PROPOSED: _rule(_("Lifting holds was proposed"), _LIFTING_FACTS),
    T.LIFTING_AGREED: _rule(_("A second person agreed to lifting holds"), _LIFTING_FACTS),
    T.LIFTING_TAKEN_BACK: _rule(_("A proposal to lift holds was taken back"), _LIFTING_FACTS),
    T.LIFTING_FINISHED: _rule(
        _("All holds that two persons agreed to lift are lifted"), _LIFTING_FACTS
    ),
    T.HOLD_PLACED: _rule(_("A hold was placed"), _HOLD_FACTS),
    T.HOLD_LIFTED: _rule(_("A hold was lifted"), _HOLD_FACTS + " destroy_after"),
    T.HOLD_MIRRORED: _rule(_("A hold was carried over to the store"), _HOLD_FACTS, ALLOW, ERROR),
    T.HOLD_TOO_LATE: _rule(_("A hold came too late"), _HOLD_FACTS + " run", DENY),
    T.CONVERSATION_WITHDRAWN: _rule(
        _("A conversation was withdrawn"), _PURGE_FACTS, needs="conversation"
    ),
    T.CONVERSATION_RECALLED: _rule(
        _("A hold brought a withdrawn conversation back"),
        _PURGE_FACTS + " matter",
        needs="conversation",
    ),
    T.CONVERSATION_CLOSED: _rule(
        _("A conversation was closed to everybody"), "reason", needs="conversation"
    ),
    T.CONTENT_KEY_DESTROYED: _rule(
        _("A content key was destroyed"), _PURGE_FACTS, needs="conversation"
    ),
    T.LEDGER_WRITTEN: _rule(
        _("The ledger of destructions was written"), _PURGE_FACTS + " conversations count"
    ),
    T.LEDGER_REPLAYED: _rule(
        _("A restored database destroyed again what the ledger names"),
        "destroyed failed need_person count",
    ),
    T.CONVERSATION_DESTROYED: _rule(
        _("A conversation was destroyed"), _PURGE_FACTS + " methods", needs="conversation"
    ),
    T.DESTRUCTION_FAILED: _rule(
        _("A destruction failed"), _PURGE_FACTS + " error count", ERROR, needs="conversation"
    ),
    T.DESTRUCTION_RETRIED: _rule(
        _("A person let a destruction be tried again"),
        _PURGE_FACTS + " count",
        needs="conversation",
    ),
    T.PURGE_RUN_STARTED: _rule(_("A purge run started"), _RUN_FACTS),
    T.PURGE_RUN_FINISHED: _rule(_("A purge run finished"), _RUN_FACTS, ALLOW, ERROR),
    T.PURGE_RUN_BRAKED: _rule(_("A purge run was stopped by the brake"), _RUN_FACTS, DENY),
    T.PURGE_RUN_RELEASED: _rule(_("A purge run that was stopped was released"), "due" + _TWO),
    T.PURGE_RUN_STOPPED: _rule(_("A purge run was asked to stop after its batch")),
    T.PURGE_PAUSED: _rule(_("Purge runs were paused")),
    T.PURGE_RESUMED: _rule(_("Purge runs were let go on")),
    T.PURGE_RUN_MAINTAINED: _rule(
        _("What a purge run left behind was cleared away"), "tables state", ALLOW, ERROR
    ),
    T.CERTIFICATE_ISSUED: _rule(
        _("A certificate of destruction was issued"), "run version conversations digest"
    ),
    T.CERTIFICATE_DOWNLOADED: _rule(
        _("A certificate of destruction was given out"), "run version format digest"
    ),
    T.CERTIFICATE_DELETED: _rule(
        _("A certificate of destruction and its residual records were deleted"),
        "run version conversations digest",
    ),
    T.STORE_RECONCILED: _rule(
        _("Database and store were compared"),
        "objects versions faults conversations scanned bytes action changed",
        ALLOW,
        ERROR,
    ),
    T.KEK_DESTROYED: _rule(_("A key-encryption key was destroyed"), "from until"),
    T.KEYRING_ESCROWED: _rule(_("The keyring was copied into escrow"), "count digest days"),
    T.KEYRING_RESTORED: _rule(_("The keyring was restored from escrow"), "count digest"),
    T.DECISION_REMINDED: _rule(
        _("Compliance officers were reminded to decide"), "kind days count until"
    ),
    T.DISPOSITION_PROPOSED: _rule(
        _("It was proposed to end a wait for a decision, or to prolong it"), _DISPOSITION_FACTS
    ),
    T.DISPOSITION_AGREED: _rule(
        _("A second person agreed to end a wait for a decision, or to prolong it"),
        _DISPOSITION_FACTS,
    ),
    T.DISPOSITION_ENDED: _rule(
        _("A proposal about what waits for a decision was taken back"), _DISPOSITION_FACTS
    ),
    T.DISPOSITION_DONE: _rule(_("What two persons decided was carried out"), _DISPOSITION_FACTS),
    T.INCIDENT_RAISED: _rule(
        _("An incident was raised"), "kind reason error step rendition objects", ERROR
    ),
    T.UNDERTAKING_ACCEPTED: _rule(
        _("An undertaking of confidentiality was accepted"), "version until user"
    ),
    T.SESSION_SIGNED_IN: _rule(_("Signed in"), "method methods"),
    T.SESSION_REFUSED: _rule(_("Sign-in was refused"), "method reason count", DENY),
    T.SESSION_SIGNED_OUT: _rule(_("Signed out"), "reason"),
    T.PASSWORD_CHANGED: _rule(_("A password was changed"), "method"),
    T.TEAM_PERMISSION_GRANTED: _rule(
        _("A permission on a team was granted"), "user team permission from until"
    ),
    T.TEAM_PERMISSION_REVOKED: _rule(
        _("A permission on a team was revoked"), "user team permission from until reason"
    ),
    T.ROLE_ASSIGNED: _rule(_("A role was assigned"), "user role from until"),
    T.ROLE_ENDED: _rule(_("A role was ended"), "user role from until reason"),
    T.USER_CREATED: _rule(_("A person's account was created"), "user role kind"),
    T.PAGE_REFUSED: _rule(_("A page was refused"), "page reason permission", DENY),
    T.AUDIT_LISTED: _rule(_("The audit log was viewed"), "count filters from until page"),
    T.AUDIT_VERIFICATION_REQUESTED: _rule(_("A check of the log was asked for"), "", ALLOW, ERROR),
    T.AUDIT_VERIFIED: _rule(
        _("The log was checked"), "size count root faults state anchors", ALLOW, DENY, ERROR
    ),
    T.AUDIT_EXPORTED: _rule(_("The audit log was exported"), "format filters from until"),
    T.BUNDLE_COMPLETED: _rule(_("An export was completed"), "digest export count size"),
    T.BUNDLE_DELIVERED: _rule(_("A month of the log was delivered"), "digest bytes from until"),
    T.DETAIL_ERASED: _rule(_("The details of events were erased"), "count reason"),
    T.SUBJECT_REPORTED: _rule(
        _("A data subject's report was made"), "count subject_unknown conversations staff"
    ),
    T.LOG_TERM_CHANGED: _rule(_("The term of the log was changed"), "months"),
    T.LOG_HOLD_PLACED: _rule(_("A hold was placed on the log"), "hold"),
    T.LOG_HOLD_LIFTED: _rule(_("A hold on the log was lifted"), "hold"),
    T.CUT_PROPOSED: _rule(_("It was proposed to cut the log"), _CUT_FACTS),
    T.CUT_AGREED: _rule(_("A second person agreed to cut the log"), _CUT_FACTS),
    T.AUDIT_CUT: _rule(_("The log was cut"), _CUT_FACTS),
    T.SEALING_KEY_INTRODUCED: _rule(
        _("A key that signs the log was introduced"), "key previous reason"
    ),
    T.LOG_RESTARTED: _rule(
        _("The log goes on after a backup was restored"), "size lost root reason"
    ),
    T.STREAM_DIRECTED: _rule(_("The log is streamed to a receiver from now on"), "kind digest"),
    T.STREAM_ENDED: _rule(_("The log is no longer streamed to a receiver")),
}


def checked_fact(key: str, value: object) -> object:
    """
    The fact as the body holds it: identifiers and instants as text.

    Raises EventRefused if no fact bears this key or the value has not its form.
    """
    if key not in FACTS:
        raise EventRefused(f"No fact is called {key}.")
    kind = FACTS[key][0]
    written = WRITERS[kind](value)
    if written is None:
        # The value is left out of the sentence: it may be what must not be written down.
        raise EventRefused(f"The fact {key} is not a {kind.value}.")
    return written
