"""What each database role may do with rules, matters, holds, purge runs and their proof."""

_READ = [
    ("SELECT", "TABLE retention_businessevent"),
    ("SELECT", "TABLE retention_certificate"),
    ("SELECT", "TABLE retention_criterion"),
    ("SELECT", "TABLE retention_destruction"),
    ("SELECT", "TABLE retention_hold"),
    ("SELECT", "TABLE retention_ledgerentry"),
    ("SELECT", "TABLE retention_lifting"),
    ("SELECT", "TABLE retention_matter"),
    ("SELECT", "TABLE retention_matterhandler"),
    ("SELECT", "TABLE retention_matterreview"),
    ("SELECT", "TABLE retention_proposal"),
    ("SELECT", "TABLE retention_purgepause"),
    ("SELECT", "TABLE retention_purgerun"),
    ("SELECT", "TABLE retention_purposelimit"),
    ("SELECT", "TABLE retention_recomputation"),
    *(("SELECT", f"TABLE retention_{table}") for table in ("disposition", "notice", "taskend")),
    ("SELECT", "TABLE retention_retentionrule"),
    ("SELECT", "TABLE retention_ruleversion"),
    ("SELECT", "TABLE retention_simulation"),
]
_HOLD = [
    ("INSERT, UPDATE (lifting_id, lifted_at, lifted_by_id)", "TABLE retention_hold"),
    ("INSERT, UPDATE (review_at, closed_at)", "TABLE retention_matter"),
    ("INSERT", "TABLE retention_matterhandler"),
    ("INSERT", "TABLE retention_matterreview"),
    # What a criterion says never changes, only how far it has come.
    (
        "INSERT, UPDATE (reached, total_count, done_count, too_late_count, heartbeat_at, "
        "applied_at, dropped_at)",
        "TABLE retention_criterion",
    ),
    (
        "INSERT, UPDATE (agreed_at, agreed_by_id, taken_back_at, total_count, lifted_count, "
        "heartbeat_at, finished_at)",
        "TABLE retention_lifting",
    ),
    # What a hold brings back leaves its run.
    ("UPDATE (recalled_at, leased_until)", "TABLE retention_destruction"),
]
_CONTROL = [
    # Who pauses writes when, and who lets go on; a run is asked to stop, and nothing else of it.
    ("INSERT, UPDATE (ended_at, ended_by)", "TABLE retention_purgepause"),
    ("UPDATE (stop_asked_at)", "TABLE retention_purgerun"),
]
_RULE = [
    ("INSERT, UPDATE", "TABLE retention_retentionrule"),
    # What is law is never changed, only followed by another, or taken back before it speaks.
    ("INSERT, UPDATE (taken_back_at, taken_back_by_id)", "TABLE retention_ruleversion"),
    ("INSERT, UPDATE (taken_back_at, taken_back_by_id)", "TABLE retention_purposelimit"),
    (
        "INSERT, UPDATE (state, decided_at, decided_by_id, decision_reason)",
        "TABLE retention_proposal",
    ),
    ("UPDATE (released_at)", "TABLE accounts_source"),
    ("UPDATE (rules_released_at)", "TABLE accounts_controller"),
    ("INSERT, UPDATE", "TABLE retention_recomputation"),
    ("INSERT", "TABLE retention_simulation"),
]
# Who asks for a simulation does not answer it.
_SIMULATE = [
    (
        "UPDATE (heartbeat_at, finished_at, needs_person_at, attempts, done_count, total_count, "
        "result)",
        "TABLE retention_simulation",
    )
]
_EVENT = [
    ("INSERT, DELETE", "TABLE retention_businessevent"),
    ("INSERT, UPDATE", "TABLE retention_recomputation"),
]
_DECIDE = [
    ("INSERT, UPDATE (agreed_at, agreed_by_id, ended_at)", "TABLE retention_disposition"),
]
_TEND = [
    ("UPDATE (done_at, ended_at)", "TABLE retention_disposition"),
    ("INSERT, UPDATE (sent_at)", "TABLE retention_notice"),
]
_DONE = [("INSERT, UPDATE (ended_at)", "TABLE retention_taskend")]
_CERTIFY = [
    # What is certified comes onto one certificate, and this is sealed once; nothing else changes.
    ("INSERT, UPDATE (seal, sealed_at)", "TABLE retention_certificate"),
    ("UPDATE (certificate_id, leaf_index, line)", "TABLE retention_destruction"),
]
_PURGE = [
    # By column: who destroys does not certify it.
    (
        "INSERT, UPDATE (objects_destroyed, key_destroyed_at, ledger_key, deleted_at, "
        "confirmed_at, concluded_at, recalled_at, lease_token, leased_until, attempts, "
        "next_try_at, problem, needs_person_at)",
        "TABLE retention_destruction",
    ),
    # Past their term, which the database checks.
    *(("DELETE", f"TABLE retention_{table}") for table in ("certificate", "destruction", "hold")),
    ("INSERT, UPDATE", "TABLE retention_purgerun"),
    ("INSERT, UPDATE (ended_at, ended_by)", "TABLE retention_purgepause"),
    ("MAINTAIN", "TABLE retention_destruction"),
    ("UPDATE (used_at)", "TABLE retention_proposal"),
    ("USAGE", "SEQUENCE retention_lease_token"),
    ("INSERT, UPDATE (contradicted)", "TABLE retention_ledgerentry"),
    # For `reconcile`: events that no partition was made for.
    ("SELECT", "TABLE audit_misplaced"),
    ("EXECUTE", "FUNCTION audit_missing_partitions(integer)"),
]

# Role → (privilege, object) as in GRANT privilege ON object TO role.
GRANTS: dict[str, list[tuple[str, str]]] = {
    "tallenne_web": _READ + _HOLD + _RULE + _DECIDE + _CONTROL,
    "tallenne_work": _READ + _HOLD + _CERTIFY + _EVENT + _TEND + _DONE + _SIMULATE,
    "tallenne_purge": _READ + _PURGE + _DONE,
}
