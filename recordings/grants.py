"""What each database role may do with conversations, their parts and what waits in quarantine."""

_READ = [
    ("SELECT", "TABLE recordings_businessreference"),
    ("SELECT", "TABLE recordings_conversation"),
    ("SELECT", "TABLE recordings_datasubject"),
    ("SELECT", "TABLE recordings_dialog"),
    ("SELECT", "TABLE recordings_party"),
    ("SELECT", "TABLE recordings_permitteduse"),
    ("SELECT", "TABLE recordings_quarantineditem"),
    ("SELECT", "TABLE recordings_rendition"),
    ("SELECT", "TABLE recordings_segment"),
    ("SELECT", "TABLE recordings_storedobject"),
]
# By column: a hold brings back and counts; neither web nor work can withdraw for good, since both
# lack the columns that say that a key is destroyed.
_HOLD = [
    (
        "UPDATE (state, withdrawn_at, hold_count, kek_name, wrapped_key)",
        "TABLE recordings_conversation",
    ),
    ("INSERT, UPDATE, DELETE", "TABLE recordings_permitteduse"),
]
_CAPTURE = [
    # Only who covers conversations says when they end.
    ("UPDATE (destroy_after, uncovered_at)", "TABLE recordings_conversation"),
    ("INSERT", "TABLE recordings_businessreference"),
    ("INSERT", "TABLE recordings_conversation"),
    ("INSERT", "TABLE recordings_datasubject"),
    ("INSERT", "TABLE recordings_dialog"),
    ("INSERT", "TABLE recordings_party"),
    ("INSERT, UPDATE (decide_before)", "TABLE recordings_quarantineditem"),
    ("INSERT", "TABLE recordings_rendition"),
    ("INSERT", "TABLE recordings_segment"),
    ("INSERT, UPDATE (legal_hold)", "TABLE recordings_storedobject"),
]
_PURGE = [
    (
        "UPDATE (kek_name, wrapped_key, sealed_name, reason, key_destroyed_at, destroyed_at)",
        "TABLE recordings_quarantineditem",
    ),
    (
        "UPDATE (state, withdrawn_at, key_destroyed_at, destroyed_at, closed_at, kek_name, "
        "wrapped_key, external_id, outcome, tags, language, message_count, linked_to_id), DELETE",
        "TABLE recordings_conversation",
    ),
    ("DELETE", "TABLE recordings_businessreference"),
    ("UPDATE (sealed_name), DELETE", "TABLE recordings_dialog"),
    ("UPDATE (sealed_details), DELETE", "TABLE recordings_party"),
    ("DELETE", "TABLE recordings_permitteduse"),
    ("DELETE", "TABLE recordings_rendition"),
    ("UPDATE (agent_id), DELETE", "TABLE recordings_segment"),
    ("UPDATE (legal_hold), DELETE", "TABLE recordings_storedobject"),
    # To vacuum after a run what it deleted.
    *(
        ("MAINTAIN", f"TABLE recordings_{table}")
        for table in (
            "conversation",
            "dialog",
            "party",
            "permitteduse",
            "rendition",
            "segment",
            "storedobject",
        )
    ),
]

# It destroys keys of months: of conversations it knows under which key they are, and no more.
_KEYS = [
    ("SELECT (id, kek_name)", "TABLE recordings_conversation"),
    ("SELECT", "TABLE recordings_rewrap"),
    ("SELECT, INSERT", "TABLE recordings_destroyedkek"),
]

# Role → (privilege, object) as in GRANT privilege ON object TO role.
GRANTS: dict[str, list[tuple[str, str]]] = {
    "tallenne_web": _READ + _HOLD,
    "tallenne_work": _READ + _HOLD + _CAPTURE,
    "tallenne_purge": _READ + _PURGE,
    "tallenne_keys": _KEYS,
}
