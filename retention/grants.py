"""What each database role may do with rules, matters, holds, purge runs and their proof."""

_READ = [
    ("SELECT", "TABLE retention_certificate"),
    ("SELECT", "TABLE retention_destruction"),
    ("SELECT", "TABLE retention_hold"),
    ("SELECT", "TABLE retention_matter"),
    ("SELECT", "TABLE retention_matterhandler"),
    ("SELECT", "TABLE retention_purgerun"),
    ("SELECT", "TABLE retention_purposelimit"),
    ("SELECT", "TABLE retention_recomputation"),
    ("SELECT", "TABLE retention_retentionrule"),
    ("SELECT", "TABLE retention_ruleversion"),
    ("SELECT", "TABLE retention_simulation"),
]
_HOLD = [
    ("INSERT, UPDATE (lifted_at, lifted_by_id)", "TABLE retention_hold"),
    ("INSERT, UPDATE (closed_at)", "TABLE retention_matter"),
    ("INSERT", "TABLE retention_matterhandler"),
    # What a hold brings back leaves its run.
    ("UPDATE (recalled_at, leased_until)", "TABLE retention_destruction"),
]
_RULE = [
    ("INSERT, UPDATE", "TABLE retention_retentionrule"),
    # A version is never changed, only followed by another.
    ("INSERT", "TABLE retention_ruleversion"),
    ("INSERT", "TABLE retention_purposelimit"),
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
    ("USAGE", "SEQUENCE retention_lease_token"),
    # For `reconcile`: events that no partition was made for.
    ("SELECT", "TABLE audit_misplaced"),
    ("EXECUTE", "FUNCTION audit_missing_partitions(integer)"),
]

# Role → (privilege, object) as in GRANT privilege ON object TO role.
GRANTS: dict[str, list[tuple[str, str]]] = {
    "tallenne_web": _READ + _HOLD + _RULE,
    "tallenne_work": _READ
    + _HOLD
    + _CERTIFY
    + _SIMULATE
    + [("UPDATE", "TABLE retention_recomputation")],
    "tallenne_purge": _READ + _PURGE,
}
