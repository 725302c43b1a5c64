"""The settings: what config/settings.py reads from the environment, and what is fixed there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from config import settings as module
from config.documentation.markdown import heading, table

SOURCE = Path(str(module.__file__))

# Variable → (who needs it, meaning).
MEANINGS: dict[str, tuple[str, str]] = {
    "SECRET_KEY": ("all, each its own", "signs sessions and forms; the web's is shared by all web"),
    "DEMO": ("all", "allows cookies without TLS on loopback; never in production"),
    "BASE_URL": ("all", "the address people use, with its scheme"),
    "ALLOWED_HOSTS": ("all", "host names that are answered, with commas"),
    "DATABASE_URL": ("all", "the database, with this process's own login role"),
    "DATABASE_POOL_SIZE": ("web", "connections kept open in one process; 0: one per request"),
    "S3_ENDPOINT_URL": ("web, work, purge, seal", "the object store"),
    "S3_REGION": ("web, work, purge, seal", "its region"),
    "S3_CONTENT_BUCKET": ("web, work, purge", "holds the encrypted content"),
    "S3_ANCHOR_BUCKET": (
        "web, work, purge, seal",
        "holds the ledger of destructions and the heads of the audit log, locked",
    ),
    "S3_CONTENT_ACCESS_KEY": ("web, work", "identity that puts, gets and places legal holds"),
    "S3_CONTENT_SECRET_KEY": ("web, work", "its secret"),
    "S3_PURGE_ACCESS_KEY": ("purge", "identity that lists and deletes versions"),
    "S3_PURGE_SECRET_KEY": ("purge", "its secret"),
    "S3_ANCHOR_ACCESS_KEY": (
        "purge, seal",
        "identity that puts into the anchor bucket with retention",
    ),
    "S3_ANCHOR_SECRET_KEY": ("purge, seal", "its secret"),
    "S3_ANCHOR_READ_ACCESS_KEY": (
        "web, work, purge, seal",
        "identity that reads the anchor bucket",
    ),
    "S3_ANCHOR_READ_SECRET_KEY": ("web, work, purge, seal", "its secret"),
    "S3_EXPORT_ACCESS_KEY": ("work", "identity that puts and lists where months are delivered to"),
    "S3_EXPORT_SECRET_KEY": ("work", "its secret"),
    "KEYRING_DIR": ("web, work, keys", "folder of the key-encryption keys, mode 0700"),
    "DATA_DIR": ("all", "where a process may put files of its own"),
    "CAPTURE_WORK_DIR": (
        "work",
        "where recordings lie in clear while they are examined; in memory where there is such",
    ),
    "REDIS_URL": ("all", "the broker, a server that speaks the Redis protocol"),
    "PURGE_INTERVAL_SECONDS": ("beat, purge", "how often what is due is destroyed"),
    "PURGE_BATCH_SIZE": ("purge", "conversations withdrawn together"),
    "PURGE_MAX_PER_MINUTE": ("purge", "conversations a minute that one loop destroys; 0: no limit"),
    "PURGE_BRAKE_MINIMUM": ("purge", "conversations up to which no run is braked"),
    "PURGE_LEASE_SECONDS": ("purge", "how long a batch stays with a worker that is silent"),
    "RULE_COOLING_DAYS": (
        "web",
        "days from the approval of a shorter rule to its taking effect; 7 at least, except in DEMO",
    ),
    "MATTER_REVIEW_MONTHS": (
        "web, work",
        "calendar months after which a matter must be looked at again, at the latest",
    ),
    "SEAWEEDFS_MASTER_URL": (
        "purge",
        "its master, where the store is SeaweedFS: volumes are vacuumed after a purge run",
    ),
    "CERTIFICATE_KEPT_YEARS": (
        "work",
        "years after its issue when a certificate and its residual records are deleted",
    ),
    "BUSINESS_EVENT_KEPT_DAYS": (
        "work",
        "days after it arrived when an event of a contract or claim is deleted that nothing kept "
        "is about",
    ),
    "BACKUP_KEPT_DAYS": (
        "work, keys",
        "days after which no backup of the database is left: a destroyed key's last copy in one",
    ),
    "KEYRING_ESCROW_KEPT_DAYS": (
        "work, keys",
        "days after which a copy of the keyring in escrow is destroyed",
    ),
    "LEDGER_KEPT_DAYS": ("purge", "how long the ledger is locked in the anchor bucket"),
    "AUDIT_ORIGIN": ("all", "the name all heads of the audit log begin with; never changed"),
    "AUDIT_SEAL_KEYS_DIR": ("seal", "folder of the keys that sign the audit log, mode 0700"),
    "AUDIT_SEAL_TOKEN": (
        "seal",
        "token that signs in place of the folder's keys: "
        "pkcs11:token=…?module-path=…&pin-source=… (RFC 7512)",
    ),
    "AUDIT_SEAL_INTERVAL_SECONDS": ("seal", "how often what waits is sealed"),
    "AUDIT_ANCHOR_INTERVAL_SECONDS": ("seal", "how often a log's head is anchored at most"),
    "AUDIT_ANCHOR_KEPT_DAYS": ("seal", "how long an anchored head is locked"),
    "AUDIT_STREAM_FILE": ("stream", "file that says where the audit log is streamed to"),
    "AUDIT_WITNESSES": (
        "seal",
        "who cosigns anchored heads: key (name+hash+key) and address each, with commas between",
    ),
    "AUDIT_TSA_URL": ("seal", "time-stamping authority (RFC 3161) of one anchored head a day"),
    "AUDIT_TSA_CERTIFICATE": (
        "work, seal",
        "file of the certificates (PEM) by which time stamps are checked",
    ),
    "EMAIL_HOST": ("work", "mail server that reminders go to; in the demo they are files instead"),
    "EMAIL_PORT": ("work", "its port"),
    "EMAIL_HOST_USER": ("work", "sign-in at the mail server; empty: none"),
    "EMAIL_HOST_PASSWORD": ("work", "its password"),
    "EMAIL_USE_TLS": ("work", "whether to encrypt the way there (STARTTLS)"),
    "EMAIL_FROM": ("work", "who reminders are from"),
    "CAPTURE_MAX_FILE_BYTES": ("work", "larger files go to quarantine"),
    "TRUSTED_PROXY_COUNT": ("web", "proxies in front; with 0, `X-Forwarded-*` is not believed"),
    "SECURE_SSL_REDIRECT": ("web", "sends http to https"),
    "AUDIT_DETAIL_KEPT_DAYS": (
        "web, work, purge, seal",
        "days after which the erasable detail of an event is erased, unless its log is held",
    ),
    "AUDIT_EXPORT_TO": (
        "work",
        "where each whole month of each log is delivered: `s3://BUCKET/PREFIX` or "
        "`sftp://USER@HOST:PORT/FOLDER`; empty: nowhere",
    ),
    "AUDIT_EXPORT_FORMAT": ("work", "of what is delivered: `jsonl`, `csv`, `parquet` or `ocsf`"),
    "AUDIT_EXPORT_WORK_DIR": (
        "work",
        "where a month lies until it is delivered; keep it on a disk",
    ),
    "AUDIT_EXPORT_KEY_FILE": ("work", "private key that the SFTP server knows"),
    "AUDIT_EXPORT_KNOWN_HOSTS_FILE": ("work", "the SFTP server's host keys, as ssh has them"),
    "STATIC_ROOT": ("web", "where `collectstatic` puts files and the web serves them from"),
    "LOG_LEVEL": ("all", "least severity that is written to the process's log"),
}

# What is decided in settings.py and changed by a release only.
FIXED: dict[str, str] = {
    "PURGE_ATTEMPTS": "tries at one destruction before it needs a person",
    "PURGE_BRAKE_FACTOR": "the brake stops a run this many times the largest of the last 30 days",
    "UNCOVERED_DECIDE_DAYS": "days to decide about what no rule covers, and about quarantine",
    "AUDIT_SEAL_BATCH_SIZE": "events that one checkpoint adds at most",
    "STREAM_RANGE_BYTES": "most sound that leaves on one check of the right",
    "SESSION_COOKIE_AGE": "seconds until a sign-in ends",
    "SESSION_IDLE_SECONDS": "seconds without a request until a sign-in ends",
}


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of the environment, as settings.py reads it."""

    name: str
    kind: str
    default: str | None


def variables() -> Iterator[Variable]:
    """Find the calls of environs in settings.py, in their order."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        if (
            isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Name)
            and call.func.value.id == "env"
            and call.args
            and isinstance(call.args[0], ast.Constant)
        ):
            defaults = [word.value for word in call.keywords if word.arg == "default"]
            default = ast.unparse(defaults[0]) if defaults else None
            yield Variable(str(call.args[0].value), call.func.attr, default)


def page() -> str:
    """Write the page."""
    rows = [
        (
            f"`{one.name}`",
            {"dj_db_url": "URL"}.get(one.kind, one.kind),
            "**required**" if one.default is None else _shown(one.default),
            *MEANINGS[one.name],
        )
        for one in variables()
    ]
    return (
        heading(
            "Settings",
            made_from="`config/settings.py`",
            intro=(
                "Each process reads its own environment and holds no credential that it does not "
                "need. What is not set and has no default is missing: using it is refused by name. "
                "[Deploy](../how-to/deploy.md) says which process gets which."
            ),
        )
        + "\n"
        + table(["variable", "type", "default", "who", "meaning"], rows)
        + "\n## Fixed\n\n"
        + table(
            ["name", "value", "meaning"],
            ((f"`{name}`", str(getattr(module, name)), words) for name, words in FIXED.items()),
        )
    )


def _shown(default: str) -> str:
    return {"None": "none", "False": "false", "True": "true"}.get(default, f"`{default}`")
