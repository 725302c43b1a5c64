"""The only code that writes the audit log: events, and what seals them."""

from audit.operations.events import (
    AuditUnavailable,
    OutsideTransaction,
    accountable,
    append,
    append_alone,
    append_many,
    create_partitions,
    erase_details,
    open_log,
)

__all__ = [
    "AuditUnavailable",
    "OutsideTransaction",
    "accountable",
    "append",
    "append_alone",
    "append_many",
    "create_partitions",
    "erase_details",
    "open_log",
]
