"""Who may do what in the database: the one table, applied by `manage.py grant` after migrating."""

from __future__ import annotations

from audit.grants import GRANTS as AUDIT
from recordings.grants import GRANTS as RECORDINGS
from retention.grants import GRANTS as RETENTION

Grants = dict[str, list[tuple[str, str]]]

WEB, WORK, PURGE = "tallenne_web", "tallenne_work", "tallenne_purge"
SEAL = "tallenne_seal"
CUT = "tallenne_cut"
KEYS = "tallenne_keys"
STREAM = "tallenne_stream"
_LOOK_UP = [
    ("SELECT", f"TABLE {table}")
    for table in (
        "accounts_controller",
        "accounts_noticedtime",
        "accounts_privacynotice",
        "accounts_team",
        "accounts_queue",
        "accounts_purpose",
        "accounts_source",
        "accounts_user",
        "accounts_roleassignment",
        "accounts_teampermission",
        "accounts_undertaking",
        "accounts_undertakingtext",
        "auth_permission",
        "django_content_type",
        "django_migrations",
    )
]

# Accounts and Django's own tables. People, roles and teams are the owner's to change, by command.
_HERE: Grants = {
    WEB: [
        *_LOOK_UP,
        (
            "UPDATE (last_login, password, uses_letter_keys, playback_speed, skips_silence)",
            "TABLE accounts_user",
        ),
        ("INSERT", "TABLE accounts_noticedtime"),
        ("INSERT", "TABLE accounts_privacynotice"),
        ("INSERT", "TABLE accounts_undertaking"),
        ("SELECT, INSERT, UPDATE, DELETE", "TABLE django_session"),
        ("SELECT, INSERT, UPDATE, DELETE", "TABLE usersessions_usersession"),
        ("USAGE", "SEQUENCE usersessions_usersession_id_seq"),
        ("SELECT, INSERT, UPDATE, DELETE", "TABLE account_emailaddress"),
        ("USAGE", "SEQUENCE account_emailaddress_id_seq"),
        ("SELECT", "TABLE account_emailconfirmation"),
        ("SELECT", "TABLE auth_group"),
        ("SELECT", "TABLE auth_group_permissions"),
        ("SELECT", "TABLE accounts_user_groups"),
        ("SELECT", "TABLE accounts_user_user_permissions"),
        ("SELECT", "TABLE django_admin_log"),
    ],
    WORK: [*_LOOK_UP],
    PURGE: [*_LOOK_UP],
    # The sealer knows no people: what it reads of the log are bodies.
    SEAL: [("SELECT", "TABLE django_migrations")],
    CUT: [("SELECT", "TABLE django_migrations")],
    KEYS: [("SELECT", "TABLE django_migrations")],
    STREAM: [("SELECT", "TABLE django_migrations")],
}


def all_grants() -> Grants:
    """Bring together what each room says."""
    merged: Grants = {WEB: [], WORK: [], PURGE: [], SEAL: [], CUT: [], KEYS: [], STREAM: []}
    for grants in (_HERE, AUDIT, RECORDINGS, RETENTION):
        for role, rows in grants.items():
            merged[role] += rows
    return merged
