"""Goes through a controller's kept conversations after its rules changed, batch by batch."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from celery import current_app
from django.db import transaction

from accounts.models import Controller
from recordings.keyring import Keyring
from recordings.models import Conversation
from retention.contacts import PREFETCH
from retention.models import Recomputation
from retention.operations.cover import cover_anew
from retention.queries import rule_book

TASK = "retention.tasks.recompute_uses"
BATCH_SIZE = 500


def request_recomputation(*, controller: Controller, now: datetime) -> Recomputation:
    """
    Ask for every kept conversation of the controller to be covered anew.

    A pass under way is replaced, since what it has done was done by the old rules. Call it in the
    transaction that changes the rules. The worker is rung for after commit; if the bell is not
    heard, its timetable brings it.
    """
    Recomputation.objects.open().filter(controller=controller).update(replaced_at=now)
    transaction.on_commit(lambda: current_app.send_task(TASK, retry=False), robust=True)
    return Recomputation.objects.create(
        controller=controller,
        requested_at=now,
        total_count=Conversation.objects.kept().filter(controller=controller).count(),
    )


@transaction.atomic
def recompute_next(
    *, now: datetime, keyring: Keyring | None, batch_size: int = BATCH_SIZE
) -> UUID | None:
    """
    Cover the next conversations of the re-computation that has waited longest.

    Each call is one transaction: killed, it leaves the pass where the last call ended. Several
    workers at once take different passes. Returns the id of the re-computation worked at, or None
    when there is nothing to do.

    Raises KeyringUnavailable: try again later.
    """
    recomputation = (
        Recomputation.objects.open()
        .select_for_update(skip_locked=True, of=("self",))
        .select_related("controller")
        .order_by("requested_at")
        .first()
    )
    if recomputation is None:
        return None
    book = rule_book(controller=recomputation.controller, at=now)
    conversations = _next_kept(recomputation, batch_size)
    recomputation.changed_count += cover_anew(
        conversations=conversations, book=book, now=now, keyring=keyring
    )
    recomputation.done_count += len(conversations)
    recomputation.heartbeat_at = now
    if conversations:
        recomputation.reached = conversations[-1].pk
    else:
        recomputation.finished_at = now
    recomputation.save()
    return recomputation.pk


def _next_kept(recomputation: Recomputation, batch_size: int) -> list[Conversation]:
    rows = (
        Conversation.objects.kept()
        .filter(controller=recomputation.controller_id)
        .select_for_update(no_key=True, of=("self",))
        .select_related("controller")
        .prefetch_related(*PREFETCH)
        .order_by("pk")
    )
    if recomputation.reached is not None:
        rows = rows.filter(pk__gt=recomputation.reached)
    return list(rows[:batch_size])
