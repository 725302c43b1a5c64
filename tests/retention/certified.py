"""Certificates for tests: what a run destroyed, sealed and certified, and the file of it."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from audit import clock, proofs, request_id
from audit.operations.sealing import Sealer, introduce_key, waiting_logs
from audit.sealing_keys import SealingKeys
from recordings.models import Conversation
from recordings.objectstore import ObjectStore
from retention import certificate as documents
from retention import run_queries
from retention.models import Certificate
from retention.operations import certificates
from retention.operations.certificates import Tally
from retention.operations.purge.run import purge
from tests.factories import Centre
from tests.harness.roles import Stage


def destroy(centre: Centre, *conversations: Conversation) -> None:
    """End their time, and run one purge."""
    for one in conversations:
        centre.end(one, at=clock.now() - timedelta(minutes=1))
    run_purge(centre.stage)


def run_purge(stage: Stage) -> None:
    """One run, with the rights of the purge, in a task with an id as the worker's."""
    with stage.acting_as("purge"), request_id.bound(uuid4()):
        purge(content=ObjectStore.for_purge(), anchor=ObjectStore.for_anchor(), clock=clock.now)


def seal_logs(stage: Stage) -> None:
    """Seal whatever events wait, as the sealer."""
    keys = SealingKeys(stage.keys.parent / "seal-keys")
    introduce_key(keys=keys, now=clock.now())
    with stage.acting_as("seal"):
        for log in waiting_logs():
            Sealer(keys).seal(log=log, now=clock.now())


def issue_due(stage: Stage) -> Tally:
    """What the task does, with the rights of the worker."""
    with stage.acting_as("work"), request_id.bound(uuid4()):
        return certificates.issue_due(now=clock.now())


def certify(stage: Stage) -> list[Certificate]:
    """Seal what runs have done, issue their certificates, and seal these."""
    for deed in (seal_logs, issue_due, seal_logs, issue_due):
        deed(stage)
    return list(Certificate.objects.order_by("issued_at", "number"))


def file_of(certificate: Certificate) -> bytes:
    """The file that is given out."""
    return b"".join(documents.file(certificate, run_queries.lines_of(certificate)))


def keys_of(certificate: Certificate) -> list[str]:
    """The public keys of the log that vouches for it."""
    return proofs.public_keys(log=str(certificate.controller_id))
