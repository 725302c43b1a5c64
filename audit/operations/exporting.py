"""Exports: logged before anything is given out, and vouched for by the log when complete."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

import structlog

from audit import clock, proofs, trees, verify
from audit.bundles.building import Built, build, manifest
from audit.bundles.copies import Format
from audit.bundles.orders import Order
from audit.bundles.sinks import Folder, FolderBegun, Sink, Zip
from audit.events import Actor, EventType, Target, log_name, log_of
from audit.models import Checkpoint, Event, Leaf
from audit.notes import encoded
from audit.operations.events import accountable, append
from audit.proofs import NotSealed
from audit.queries import Filter
from audit.waking import wake_sealer

logger = structlog.get_logger("tallenne.audit")

# A heap of events that waits takes the sealer a while.
PATIENCE_SECONDS = 15.0
_POLL_SECONDS = 0.05


def to_zip(*, wanted: Filter, form: Format, actor: Actor, now: datetime) -> Iterator[bytes]:
    """
    Export one log as a .zip, given in pieces; what happens from `now` on is not part of it.

    The export has been logged, and its event sealed, before this returns. If the sealer does not
    come at the end, the bundle lacks its seal, and the verifier says so.

    Raises `audit.operations.AuditUnavailable`, NotSealed.
    """
    order = _sealed(_log(wanted=wanted, form=form, actor=actor, now=now))
    return _zipped(order)


def to_folder(
    *, target: Path, wanted: Filter, form: Format, actor: Actor, now: datetime
) -> Iterator[int | Built]:
    """
    Export one log into a folder; gives how many events each step has written, then what was built.

    A folder that was begun for the same is gone on with: the first order stands, with its time.

    Raises `audit.operations.AuditUnavailable`, NotSealed, `audit.bundles.sinks.FolderBegun`,
    OSError.
    """
    folder = Folder(target)
    begun = folder.noted("order")
    if begun is None:
        order = _sealed(_log(wanted=wanted, form=form, actor=actor, now=now))
        folder.note("order", order.as_json())
    else:
        order = Order.from_json(begun, actor=actor)
        if (order.wanted, order.form) != (_until(wanted, order.now), form):
            raise FolderBegun(f"In {target}.part another export was begun. Finish or remove it.")
    yield from _written(order, folder)
    folder.finish()


def _log(*, wanted: Filter, form: Format, actor: Actor, now: datetime) -> Order:
    """Commit the event of an export of one log; what is exported ends at `now` at the latest."""
    wanted = _until(wanted, now)
    (log,) = wanted.logs
    with accountable():
        event_id = append(
            event_type=EventType.AUDIT_EXPORTED,
            actor=actor,
            now=now,
            log=log,
            target=Target("log", log_name(log)),
            facts={"format": form.value, **wanted.facts},
        )
    return Order(wanted=wanted, form=form, actor=actor, now=now, export=event_id)


def _until(wanted: Filter, now: datetime) -> Filter:
    return replace(wanted, until_at=min(wanted.until_at, now) if wanted.until_at else now)


def _sealed(order: Order) -> Order:
    """Give the order with the first tree that has its event: all from before it is in there."""
    return order.of_size(head_with(order.export, order.log).size)


def _zipped(order: Order) -> Iterator[bytes]:
    made = Zip()
    try:
        for _step in _written(order, made):
            yield made.take()
    except NotSealed as error:
        # What was sent cannot be taken back; the verifier says that the seal is missing.
        logger.warning("export_without_seal", log=order.log, reason=str(error))
    made.finish()
    yield made.take()


def _written(order: Order, sink: Sink) -> Iterator[int | Built]:
    for step in build(order, sink):
        if isinstance(step, Built):
            _complete(order, step, sink)
        yield step


def _complete(order: Order, built: Built, sink: Sink) -> None:
    """Write the manifest, and have the log say its digest. Raises AuditUnavailable, NotSealed."""
    said = manifest(order, built)
    sink.write(verify.MANIFEST, said)
    with accountable():
        event_id = append(
            event_type=EventType.BUNDLE_COMPLETED,
            actor=order.actor,
            now=clock.now(),
            log=log_of(order.log),
            target=Target("log", order.log),
            facts={
                "digest": hashlib.sha256(said).hexdigest(),
                "export": order.export,
                "count": built.events,
                "size": order.size,
            },
        )
    head = head_with(event_id, order.log)
    proof = proofs.prove_row(Event.objects.get(event_id=event_id), head=head)
    sink.write(verify.SEAL, proof.encode())
    steps = trees.tree(log=order.log, size=head.size).consistency_proof(order.size)
    sink.write(verify.SEAL_CONSISTENCY, "".join(f"{encoded(step)}\n" for step in steps).encode())


def head_with(event_id: UUID, log: str) -> Checkpoint:
    """Wait for the first head whose tree has the event. Raises NotSealed."""
    row = Event.objects.get(event_id=event_id, log=log).id
    deadline = time.monotonic() + PATIENCE_SECONDS
    wake_sealer()
    while True:
        leaf = Leaf.objects.filter(event=row).first()
        if leaf is not None:
            heads = Checkpoint.objects.filter(log=log, size__gt=leaf.leaf_index)
            return heads.earliest("size")
        if time.monotonic() >= deadline:
            raise NotSealed(
                "The event of this export was not sealed in time. Does the sealer run "
                "(manage.py seal_audit)? Try again when it does."
            )
        time.sleep(_POLL_SECONDS)
