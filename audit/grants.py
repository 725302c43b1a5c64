"""What each database role may do with the audit log's tables and functions."""

_APPEND = [
    # By column: nobody chooses an event's id, time or month.
    ("INSERT (log, about_conversation, body)", "TABLE audit_event"),
    ("INSERT (event_id, salt, text, delete_after, log)", "TABLE audit_detail"),
    ("EXECUTE", "FUNCTION audit_now()"),
]
_READ = [
    ("SELECT", "TABLE audit_event"),
    ("SELECT", "TABLE audit_detail"),
    ("SELECT", "TABLE audit_log"),
]
# How long logs are kept, and what is proposed to be cut: on pages and by command.
_GROWTH = [
    *(("SELECT", f"TABLE audit_{table}") for table in ("log_term", "log_hold", "cut")),
    ("EXECUTE", "FUNCTION audit_term(text)"),
]
# By column: the database itself finds what is cut, and when each step was.
_PROPOSE = [
    ("INSERT (log, months, legal_reason, set_by)", "TABLE audit_log_term"),
    ("INSERT (id, log, placed_by)", "TABLE audit_log_hold"),
    ("UPDATE (lifted_by)", "TABLE audit_log_hold"),
    ("INSERT (id, log, about_conversation, until_month, root, proposed_by)", "TABLE audit_cut"),
    ("UPDATE (agreed_by, replaced_at)", "TABLE audit_cut"),
    ("EXECUTE", "FUNCTION audit_cuttable(text, boolean, date, timestamptz)"),
]
# It deletes no row by itself: the function checks everything anew, and says in the log what it did.
_CUT = [
    ("SELECT", "TABLE audit_cut"),
    ("EXECUTE", "FUNCTION audit_now()"),
    ("EXECUTE", "FUNCTION audit_do_cut(uuid, text)"),
]
# Whether the log is sealed, anchored and streamed in time, without what it says.
_WATCH = [
    *(("SELECT", f"TABLE audit_{table}") for table in ("stream", "stream_cursor")),
    ("SELECT (log, leaf_index, event, about_conversation, month)", "TABLE audit_leaf"),
    *(("SELECT", f"TABLE audit_{table}") for table in ("unsealed", "checkpoint", "anchor", "log")),
    ("SELECT (id, log, about_conversation, month, recorded_at)", "TABLE audit_event"),
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
        "cosignature",
        "time_stamp",
        "sealing_key",
    )
]
_SEAL = [
    ("DELETE", "TABLE audit_unsealed"),
    *(
        ("INSERT", f"TABLE audit_{table}")
        for table in ("origin", "leaf", "node", "checkpoint", "anchor", "cosignature", "time_stamp")
    ),
    ("INSERT (fingerprint, public_key, introduced_at)", "TABLE audit_sealing_key"),
    ("SELECT", "TABLE audit_event"),
    ("SELECT", "TABLE audit_log"),
]
# By column: of an event it may say that it happened, and no details.
_SAY = [
    ("INSERT (log, about_conversation, body)", "TABLE audit_event"),
    ("EXECUTE", "FUNCTION audit_now()"),
]
_STREAM = [
    *_SAY,
    ("SELECT", "TABLE audit_event"),
    ("SELECT", "TABLE audit_leaf"),
    ("SELECT, INSERT, UPDATE", "TABLE audit_stream"),
    ("SELECT, INSERT, UPDATE", "TABLE audit_stream_cursor"),
]
_TEND = [
    ("SELECT, INSERT, UPDATE", "TABLE audit_delivery"),
    ("DELETE", "TABLE audit_detail"),
    ("SELECT", "TABLE audit_misplaced"),
    ("EXECUTE", "FUNCTION audit_missing_partitions(integer)"),
    ("EXECUTE", "FUNCTION audit_create_partitions(integer)"),
]

# Role → (privilege, object) as in GRANT privilege ON object TO role. Opening a log is left to the
# owner: `audit_open_log` makes tables.
GRANTS: dict[str, list[tuple[str, str]]] = {
    "tallenne_web": _APPEND
    + _READ
    + _PROVE
    + _GROWTH
    + _PROPOSE
    + [("SELECT", "TABLE audit_delivery"), ("SELECT, INSERT, DELETE", "TABLE audit_saved_search")],
    "tallenne_work": _APPEND + _READ + _PROVE + _GROWTH + _TEND,
    "tallenne_purge": _APPEND + _WATCH,
    "tallenne_seal": _APPEND + _PROVE + _SEAL,
    "tallenne_cut": _CUT,
    "tallenne_keys": _SAY,
    "tallenne_stream": _STREAM,
}
