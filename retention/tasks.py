"""What the workers are rung for; the truth of what is to be done stands in PostgreSQL."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from uuid import UUID

from celery import shared_task

from audit import clock
from recordings.keyring import FileKeyring, KeyringUnavailable
from recordings.objectstore import ObjectStore, StoreRefused, StoreUnavailable
from recordings.operations.quarantine_end import destroy_due as destroy_quarantined
from retention.operations import (
    business_events,
    certificates,
    dispositions,
    mirror,
    reminders,
    simulate,
)
from retention.operations.coming_into_force import come_into_force
from retention.operations.criteria import apply_next
from retention.operations.liftings import lift_next
from retention.operations.purge.maintenance import maintain
from retention.operations.purge.run import purge as run_purge
from retention.operations.recompute import recompute_next

# Set when the worker was asked to end. Made before it forks, so that its children see it.
ending = multiprocessing.Event()


@shared_task(acks_late=True)
def purge() -> None:
    """Run one purge. What it leaves, for whatever reason, the next one finds by itself."""
    tally = run_purge(
        content=ObjectStore.for_purge(),
        anchor=ObjectStore.for_anchor(),
        clock=clock.now,
        is_asked_to_stop=ending.is_set,
    )
    maintain(has_destroyed=bool(tally.destroyed), clock=clock.now)


@shared_task(acks_late=True, throws=(StoreUnavailable, StoreRefused))
def purge_quarantine() -> None:
    """Destroy what lay in quarantine too long; the next one finishes what this one leaves."""
    destroy_quarantined(store=ObjectStore.for_purge(), clock=clock.now)


@shared_task(acks_late=True, throws=(KeyringUnavailable,))
def tend_undecided() -> None:
    """Tell officers what waits for a decision, and carry out what two persons have decided."""
    reminders.give_deadlines(now=clock.now())
    reminders.note_due(now=clock.now())
    reminders.send_waiting(now=clock.now())
    dispositions.carry_out(keyring=FileKeyring.from_settings(), now=clock.now())


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
    come_into_force(now=clock.now())
    keyring = FileKeyring.from_settings()
    while recompute_next(now=clock.now(), keyring=keyring):
        pass


@shared_task(acks_late=True, throws=(KeyringUnavailable,))
def apply_criteria() -> None:
    """Hold what matches criteria that have been set, until all of it is held."""
    keyring = FileKeyring.from_settings()
    while apply_next(now=clock.now(), keyring=keyring):
        pass


@shared_task(acks_late=True, throws=(KeyringUnavailable,))
def lift_holds() -> None:
    """Lift what two persons have agreed to lift, until all of it is lifted."""
    keyring = FileKeyring.from_settings()
    while lift_next(now=clock.now(), keyring=keyring):
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
def delete_past_events() -> None:
    """Delete business events past their term that nothing kept is about."""
    business_events.delete_past(now=clock.now())


@shared_task(acks_late=True)
def delete_past_certificates() -> None:
    """Delete certificates past their term, with the residual records they are about."""
    certificates.delete_past(now=clock.now())
