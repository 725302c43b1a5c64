"""A certificate of destruction as a document: a closed list of fields in canonical JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Any

from django.conf import settings

from audit import canonical
from audit.fact_forms import instant
from audit.proofs import SealedEvent, Witness
from retention.models import Certificate, Destruction, PurgeRun, RuleVersion

# 2 says of each key when its last copy lapses.
VERSION = 2
STANDARD = "NIST SP 800-88r2"
# The content key, what the store held, and the rows that were made of the content.
METHODS = {
    "content_key": "cryptographic_erase",
    "derived_rows": "delete",
    "object_versions": "delete",
}
# A piece of a file has at most so many lines.
PIECES_TOGETHER = 500
_LINES = "lines"
_TIMES = {
    *("at", "concluded_at", "confirmed_at", "deleted_at", "destroy_after", "finished_at"),
    *("in_force_from", "issued_at", "key_destroyed_at", "last_copy_lapses_at", "started_at"),
    "withdrawn_at",
}


def line_of(destruction: Destruction, *, event: SealedEvent) -> str:
    """
    Write the line of one conversation, with its own SHA-256 to find it by when it is altered.

    Whether a hold or an open request bars a destruction is asked under lock in the transaction
    that destroys the key, which none of either lets happen.
    """
    key_destroyed_at = _instant(destruction.key_destroyed_at)
    said: dict[str, object] = {
        "conversation": str(destruction.conversation_id),
        "destroy_after": _instant(destruction.destroy_after),
        "withdrawn_at": _instant(destruction.withdrawn_at),
        "hold_check": {"at": key_destroyed_at, "holds": 0, "requests": 0},
        "key_destroyed_at": key_destroyed_at,
        "last_copy_lapses_at": _instant(_last_copy_lapses_at(destruction)),
        "ledger": destruction.ledger_key,
        "objects": [
            {"key": key, "version": version, "sha256": sha256}
            for key, version, sha256 in destruction.objects_destroyed
        ],
        "deleted_at": _instant(destruction.deleted_at),
        "confirmed_at": _instant(destruction.confirmed_at),
        "concluded_at": _instant(destruction.concluded_at),
        "rules": [str(version) for version in destruction.rule_versions],
        "event": json.loads(event.body),
        "leaf_index": event.leaf_index,
    }
    said["sha256"] = hashlib.sha256(canonical.dumps(said).encode()).hexdigest()
    return canonical.dumps(said)


def _last_copy_lapses_at(destruction: Destruction) -> datetime:
    """
    Say when no backup has the key any more, nor a copy in escrow what it was wrapped with.

    Both terms are promises of who runs the system.
    """
    assert destruction.key_destroyed_at is not None
    kept_days = settings.BACKUP_KEPT_DAYS + settings.KEYRING_ESCROW_KEPT_DAYS
    return destruction.key_destroyed_at + timedelta(days=kept_days)


def fields_of(
    certificate: Certificate,
    *,
    run: PurgeRun,
    counts: Mapping[str, int],
    rules: Iterable[RuleVersion],
) -> str:
    """Write everything but the lines; staff are named by their random references."""
    return canonical.dumps(
        {
            "v": VERSION,
            "id": str(certificate.pk),
            "controller": str(certificate.controller_id),
            "run": {
                "id": str(run.pk),
                "actor": run.actor,
                "started_at": _instant(run.started_at),
                "finished_at": _instant(run.finished_at),
            },
            "number": certificate.number,
            "issued_at": _instant(certificate.issued_at),
            "standard": STANDARD,
            "methods": METHODS,
            "counts": dict(counts),
            "rules": [
                {
                    "version": str(version.pk),
                    "rule": str(version.rule_id),
                    "number": version.number,
                    "legal_basis": version.legal_basis,
                    "in_force_from": _instant(version.in_force_from),
                    "approved_by": [
                        str(person.reference)
                        for person in (version.created_by, version.approved_by)
                        if person
                    ],
                }
                for version in rules
            ],
        }
    )


def seal_of(witness: Witness) -> str:
    """Write what proves the certificate: the event that has its digest, and all its lines'."""
    return canonical.dumps(
        {
            "event": json.loads(witness.event.body),
            "leaf_index": witness.event.leaf_index,
            "checkpoint": witness.checkpoint,
            "remainder": witness.remainder,
        }
    )


def document(fields: str, lines: Iterable[str]) -> Iterator[str]:
    """Write what is signed, in pieces: the fields with the lines among them, by their names."""
    said = json.loads(fields)
    before = canonical.dumps({name: said[name] for name in said if name < _LINES})
    after = canonical.dumps({name: said[name] for name in said if name > _LINES})
    yield f'{before[:-1]},"{_LINES}":['
    comma = ""
    for line in lines:
        yield f"{comma}{line}"
        comma = ","
    yield f"],{after[1:]}"


def file(certificate: Certificate, lines: Iterable[str]) -> Iterator[bytes]:
    """Write the file that is given out, in pieces: the document and its seal."""
    pieces = chain(
        ['{"certificate":'],
        document(certificate.fields, lines),
        [f',"seal":{certificate.seal}}}\n'],
    )
    while piece := "".join(islice(pieces, PIECES_TOGETHER)):
        yield piece.encode()


def digest_of(fields: str, lines: Iterable[str]) -> str:
    """Reckon the SHA-256 of the document, in hexadecimal."""
    reckoned = hashlib.sha256()
    for piece in document(fields, lines):
        reckoned.update(piece.encode())
    return reckoned.hexdigest()


def name_of(certificate: Certificate) -> str:
    """Name the file: by run, company and number."""
    return f"certificate-{certificate.run_id}-{certificate.controller_id}-{certificate.number}.json"


def values_of(text: str) -> dict[str, Any]:
    """Read the fields, a line or the seal for a page: times become times."""
    found: dict[str, Any] = json.loads(text, object_hook=_with_times)
    return found


def _with_times(said: dict[str, Any]) -> dict[str, Any]:
    return {
        name: datetime.fromisoformat(value) if name in _TIMES else value
        for name, value in said.items()
    }


def _instant(at: Any) -> str:
    return instant(at)
