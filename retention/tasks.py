"""What the workers are rung for; the truth of what is to be done stands in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from celery import shared_task

from audit import clock
from recordings.keyring import FileKeyring, KeyringUnavailable
from recordings.objectstore import ObjectStore, StoreUnavailable
from retention.operations import certificates, mirror, simulate
from retention.operations.purge.heartbeat import beat
from retention.operations.purge.run import purge as run_purge
from retention.operations.recompute import recompute_next


@shared_task(acks_late=True)
def purge() -> None:
    """Run one purge. What it leaves, for whatever reason, the next one finds by itself."""
    run_purge(content=ObjectStore.for_purge(), anchor=ObjectStore.for_anchor(), clock=clock.now)
    beat(now=clock.now())


@shared_task(
    acks_late=True,
    autoretry_for=(StoreUnavailable, mirror.MirrorBusy),
    retry_backoff=True,
    max_retries=8,
)
def mirror_holds(*, conversation_ids: Sequence[str]) -> None:
    """Tell the store of the holds on these conversations."""
    mirror.mirror_holds(
        store=ObjectStore.for_content(),
        now=clock.now(),
        conversation_ids=[UUID(pk) for pk in conversation_ids],
    )


@shared_task(acks_late=True, throws=(StoreUnavailable, mirror.MirrorBusy))
def sweep_holds() -> None:
    """Tell the store of all holds it has not been told of; the next sweep tries again."""
    mirror.mirror_holds(store=ObjectStore.for_content(), now=clock.now())


@shared_task(acks_late=True, throws=(KeyringUnavailable,))
def recompute_uses() -> None:
    """Cover conversations anew whose rules have changed, until all are done."""
    keyring = FileKeyring.from_settings()
    while recompute_next(now=clock.now(), keyring=keyring):
        pass


@shared_task(acks_late=True)
def run_simulations() -> None:
    """Do the simulations that wait; what is killed the next minute's begins again."""
    while simulate.run_next(clock=clock.now):
        pass


@shared_task(acks_late=True)
def issue_certificates() -> None:
    """Issue and seal the certificates that can be; the next minute finds the rest."""
    certificates.issue_due(now=clock.now())


@shared_task(acks_late=True)
def delete_past_certificates() -> None:
    """Delete certificates past their term, with the residual records they are about."""
    certificates.delete_past(now=clock.now())
