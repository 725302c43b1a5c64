"""What each database role may do with the audit log's tables and functions."""

_APPEND = [
    # By column: nobody chooses an event's id, time or month.
    ("INSERT (log, about_conversation, body)", "TABLE audit_event"),
    ("INSERT (event_id, salt, text, delete_after)", "TABLE audit_detail"),
    ("EXECUTE", "FUNCTION audit_now()"),
]
_READ = [
    ("SELECT", "TABLE audit_event"),
    ("SELECT", "TABLE audit_detail"),
    ("SELECT", "TABLE audit_log"),
]
# What seals the log is read by whoever shows it or proves it.
_PROVE = [
    ("SELECT", f"TABLE audit_{table}")
    for table in (
        "unsealed",
        "origin",
        "leaf",
        "node",
        "checkpoint",
        "anchor",
        "sealing_key",
    )
]
_SEAL = [
    ("DELETE", "TABLE audit_unsealed"),
    *(
        ("INSERT", f"TABLE audit_{table}")
        for table in ("origin", "leaf", "node", "checkpoint", "anchor")
    ),
    ("INSERT (fingerprint, public_key, introduced_at)", "TABLE audit_sealing_key"),
    ("SELECT", "TABLE audit_event"),
    ("SELECT", "TABLE audit_log"),
]
_TEND = [
    ("DELETE", "TABLE audit_detail"),
    ("SELECT", "TABLE audit_misplaced"),
    ("EXECUTE", "FUNCTION audit_missing_partitions(integer)"),
    ("EXECUTE", "FUNCTION audit_create_partitions(integer)"),
]

# Role → (privilege, object) as in GRANT privilege ON object TO role. Opening a log is left to the
# owner: `audit_open_log` makes tables.
GRANTS: dict[str, list[tuple[str, str]]] = {
    "tallenne_web": _APPEND + _READ + _PROVE,
    "tallenne_work": _APPEND + _READ + _PROVE + _TEND,
    "tallenne_purge": _APPEND,
    "tallenne_seal": _APPEND + _PROVE + _SEAL,
}
