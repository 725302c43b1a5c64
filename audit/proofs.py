"""What is handed out to be checked elsewhere: proofs of events and of heads, and public keys."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from audit import trees
from audit.events import EventType
from audit.merkle import OutsideTree
from audit.models import Checkpoint, Event, Leaf, Origin, SealingKey
from audit.notes import VerifierKey, encoded, tlog_proof


class UnknownEvent(LookupError):
    """The log has no such event, or no longer."""


class NotSealed(Exception):
    """It is not in the tree yet: the sealer takes it within seconds, if it runs."""


class UnknownHead(LookupError):
    """The log never had a signed head of that size."""


@dataclass(frozen=True, slots=True)
class SealedEvent:
    """An event's body, and its place in the tree of its log."""

    leaf_index: int
    body: str


@dataclass(frozen=True, slots=True)
class Witness:
    """What proves an event, and others beside it, by one signed head: see `audit.verify.reckon`."""

    event: SealedEvent
    checkpoint: str
    remainder: list[str]


def prove(*, event_id: UUID, log: str | None = None) -> str:
    """
    Prove that an event is in its log, as a tlog-proof (C2SP) that has the event in it.

    With `log` an event of another log is unknown.

    Raises UnknownEvent, NotSealed, `audit.trees.TreeIncomplete`.
    """
    found = Event.objects.filter(event_id=event_id)
    event = (found if log is None else found.filter(log=log)).first()
    if event is None:
        raise UnknownEvent("The log has no such event.")
    return prove_row(event)


def prove_row(event: Event, *, head: Checkpoint | None = None) -> str:
    """
    Prove an event that was read before; see `prove`.

    Unless told the newest head is taken, of those that have the event and are cosigned if any is.
    """
    leaf = trees.leaf_of(event=event.id)
    newest = head or trees.newest_checkpoint(log=event.log)
    if head is None and leaf is not None and newest is not None:
        witnessed = trees.witnessed_heads(head=newest)
        newest = next((one for one in witnessed[::-1] if one.size > leaf.leaf_index), newest)
    if leaf is None or newest is None:
        raise NotSealed("The event waits to be sealed. Try again in a moment.")
    return tlog_proof(
        index=leaf.leaf_index,
        path=trees.tree(log=event.log, size=newest.size).inclusion_proof(leaf.leaf_index),
        note=trees.cosigned_note(newest),
        extra=event.body.encode(),
    )


def sealed_events(
    *, log: str, event_type: EventType, conversations: Collection[UUID]
) -> dict[UUID, SealedEvent]:
    """Find the sealed events of one type about conversations, by conversation: the newest."""
    rows = Event.objects.filter(
        log=log, about_conversation=True, event_type=event_type, conversation__in=conversations
    )
    found = list(rows.order_by("id").values_list("id", "conversation", "body"))
    leaves = Leaf.objects.filter(event__in=[row for row, _, _ in found])
    places = dict(leaves.values_list("event", "leaf_index"))
    return {
        conversation: SealedEvent(places[row], body)
        for row, conversation, body in found
        if row in places and conversation is not None
    }


def witness(*, log: str, event_type: EventType, target: UUID, beside: Sequence[int]) -> Witness:
    """
    Prove the event of that type about the target, and all the leaves that lie `beside` it.

    `beside` are places in the log, in order. The head is the first that has the event: asked
    again, the answer is the same.

    Raises UnknownEvent, NotSealed, `audit.trees.TreeIncomplete`.
    """
    found = Event.objects.filter(log=log, event_type=event_type, target=str(target)).first()
    if found is None:
        raise UnknownEvent("The log has no such event.")
    leaf = trees.leaf_of(event=found.id)
    heads = Checkpoint.objects.filter(log=log, size__gt=leaf.leaf_index if leaf else 0)
    head = heads.order_by("size").first()
    if leaf is None or head is None:
        raise NotSealed("The event waits to be sealed. Try again in a moment.")
    shown = sorted({*beside, leaf.leaf_index})
    rest = trees.tree(log=log, size=head.size).remainder((at, at + 1) for at in shown)
    return Witness(
        SealedEvent(leaf.leaf_index, found.body), head.note, [encoded(step) for step in rest]
    )


def consistency(*, log: str, earlier: int, later: int | None = None) -> dict[str, object]:
    """
    Prove that a later head of a log (the newest unless told) continues an earlier one.

    Gives both heads as they were signed, and the hashes between them (RFC 9162, 2.1.4).

    Raises UnknownHead, `audit.trees.TreeIncomplete`.
    """
    newest = trees.newest_checkpoint(log=log)
    size = later if later is not None else (newest.size if newest else 0)
    notes = dict(
        Checkpoint.objects.filter(log=log, size__in=[earlier, size]).values_list("size", "note")
    )
    if missing := [wanted for wanted in (earlier, size) if wanted not in notes]:
        raise UnknownHead(f"The log has no signed head of {missing[0]} events.")
    try:
        proof = trees.tree(log=log, size=size).consistency_proof(earlier)
    except OutsideTree as error:
        raise UnknownHead(str(error)) from error
    return {
        "earlier": notes[earlier],
        "later": notes[size],
        "proof": [encoded(step) for step in proof],
    }


def public_keys(*, log: str) -> list[str]:
    """Give the keys that sign a log's heads, or signed them, one a line as name+hash+key."""
    origins = Origin.objects.filter(log=log).order_by("number").values_list("origin", flat=True)
    keys = [
        bytes(key)
        for key in SealingKey.objects.order_by("number").values_list("public_key", flat=True)
    ]
    return [str(VerifierKey(origin, key)) for origin in origins for key in keys]


def introductions(*, log: str) -> list[str]:
    """
    Prove each change of the log's key, in order: by it whoever trusts the old key trusts the new.

    Raises `audit.trees.TreeIncomplete`.
    """
    proofs = []
    found = Event.objects.filter(log=log, event_type=EventType.SEALING_KEY_INTRODUCED)
    for event in found.order_by("happened_at", "id"):
        facts = cast(dict[str, str], json.loads(event.body)["x"])
        leaf = Leaf.objects.filter(event=event.id).first()
        if "previous" not in facts or leaf is None:
            continue
        # The first head that has it is the one that both keys have signed.
        heads = Checkpoint.objects.filter(log=log, size__gt=leaf.leaf_index)
        proofs.append(prove_row(event, head=heads.order_by("size").first()))
    return proofs
