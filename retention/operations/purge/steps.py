"""The steps of a purge that change rows: each one short transaction, each safe to repeat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from uuid_utils.compat import uuid7

from audit.events import Actor, EventType, Outcome, Target
from audit.operations import append
from recordings.models import PermittedUse, among, uuid_array
from recordings.objectstore import ObjectExists
from recordings.operations import lifecycle
from retention import ledger
from retention.models import Destruction, LedgerEntry, PurgeRun
from retention.operations.bars import barred_by_criteria
from retention.operations.purge.leases import Batch, lease_end, progressed

_IN_LEDGER = ("run_id", "conversation_id", "controller_id", "ended_at", "key_destroyed_at")

# By SQL: a thousand rows of twenty fields each take ten times as long through the model.
_BEGIN = """
INSERT INTO retention_destruction (
    id, run_id, conversation_id, controller_id, kind, ended_at, destroy_after, rule_versions,
    objects_destroyed, method, line, withdrawn_at, ledger_key, lease_token, leased_until, attempts,
    problem)
SELECT given.id, %(run)s, conversation.id, conversation.controller_id, conversation.kind,
       conversation.ended_at, conversation.destroy_after,
       ARRAY(SELECT authority FROM recordings_permitteduse AS permitted
             WHERE permitted.conversation_id = conversation.id AND authority_kind = 'rule'
             ORDER BY authority),
       '[]', %(method)s, '', %(now)s, '', %(token)s, %(leased_until)s, 1, ''
FROM unnest(%(ids)s::uuid[], %(conversations)s::uuid[]) AS given (id, conversation)
JOIN recordings_conversation AS conversation ON conversation.id = given.conversation
"""

# Adds to each certificate line the versions that rows know of, with the digests of what was stored.
_CONCLUDE = """
UPDATE retention_destruction AS destruction
SET objects_destroyed = destruction.objects_destroyed || coalesce((
        SELECT jsonb_agg(
            jsonb_build_array(key, version_id, encode(ciphertext_sha256, 'hex')) ORDER BY key)
        FROM recordings_storedobject AS stored
        WHERE stored.conversation_id = destruction.conversation_id), '[]'),
    deleted_at = %(deleted_at)s, confirmed_at = %(confirmed_at)s, concluded_at = %(now)s,
    leased_until = NULL, next_try_at = NULL, problem = ''
FROM recordings_conversation AS conversation
WHERE destruction.conversation_id = ANY(%(ids)s::uuid[])
  AND conversation.id = destruction.conversation_id
  AND conversation.state = 'withdrawn' AND conversation.key_destroyed_at IS NOT NULL
  AND destruction.lease_token = %(token)s AND destruction.ledger_key <> ''
  AND destruction.concluded_at IS NULL AND destruction.recalled_at IS NULL
RETURNING destruction.conversation_id, destruction.run_id
"""


class Ledger(Protocol):
    """Where the ledger is written: the anchor bucket, see `ObjectStore.put_locked`."""

    def put_locked(self, key: str, body: bytes, *, retain_until: datetime) -> str:
        """Store an object that nobody can remove before that time."""


@transaction.atomic
def withdraw(
    *, run: PurgeRun, conversation_ids: Sequence[UUID], token: int, actor: Actor, now: datetime
) -> Batch | None:
    """
    Withdraw those of the conversations that are due, and begin a certificate line for each.

    The run's own row is written with its first batch. Returns None if none of them was due.
    """
    barred = barred_by_criteria(conversation_ids=conversation_ids)
    free = [pk for pk in conversation_ids if pk not in barred]
    ids = lifecycle.withdraw(conversation_ids=free, run_id=run.pk, actor=actor, now=now)
    if not ids:
        return None
    run.heartbeat_at = now
    if run._state.adding:
        begin(run=run, actor=actor, now=now)
    else:
        run.save(update_fields=["heartbeat_at"])
    with connection.cursor() as cursor:
        cursor.execute(
            _BEGIN,
            {
                "run": run.pk,
                "method": Destruction._meta.get_field("method").default,
                "now": now,
                "token": token,
                "leased_until": lease_end(now),
                "ids": uuid_array(uuid7() for _ in ids),
                "conversations": uuid_array(ids),
            },
        )
    return Batch(token, tuple(ids))


def begin(*, run: PurgeRun, actor: Actor, now: datetime) -> None:
    """Write the run's own row, with its event; in a transaction."""
    run.save(force_insert=True)
    append(
        event_type=EventType.PURGE_RUN_STARTED,
        actor=actor,
        now=now,
        log=None,
        target=Target("purge_run", str(run.pk)),
        facts={"due": run.due_count, "held": run.held_count},
    )


def rule_versions(conversation_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """Give for each conversation the rule versions that keep it, for its certificate line."""
    versions: dict[UUID, list[UUID]] = defaultdict(list)
    uses = PermittedUse.objects.filter(
        conversation__in=conversation_ids, authority_kind=PermittedUse.AuthorityKind.RULE
    )
    for conversation_id, authority in uses.order_by("authority").values_list(
        "conversation_id", "authority"
    ):
        versions[conversation_id].append(authority)
    return versions


@transaction.atomic
def destroy_keys(*, batch: Batch, actor: Actor, now: datetime) -> int:
    """
    Destroy the keys of those of the batch that still have one; nothing can read them from then on.

    What was barred meanwhile is brought back and leaves the run. Returns how many were.
    """
    barred = barred_by_criteria(conversation_ids=batch.conversation_ids)
    lifecycle.lock_rows(conversation_ids=batch.conversation_ids)
    waiting = batch.locked().filter(key_destroyed_at=None)
    run_of = dict(waiting.values_list("conversation_id", "run_id"))
    if not run_of:
        return 0
    back = lifecycle.bring_back(
        conversation_ids=sorted(barred & run_of.keys()), actor=actor, now=now, reason="hold"
    )
    free = {pk: run for pk, run in run_of.items() if pk not in barred}
    result = lifecycle.destroy_keys(run_of=free, actor=actor, now=now)
    batch.rows().filter(among("conversation_id", result.destroyed)).update(
        key_destroyed_at=now, **progressed(now)
    )
    if recalled := [*back, *result.barred]:
        recall(conversation_ids=recalled, now=now)
    return len(recalled)


def recall(*, conversation_ids: Sequence[UUID], now: datetime) -> None:
    """Take conversations that have been brought back out of their runs."""
    Destruction.objects.open().filter(conversation__in=conversation_ids).update(
        recalled_at=now, leased_until=None
    )


def write_ledger(*, batch: Batch, anchor: Ledger, actor: Actor, now: datetime) -> None:
    """
    Say outside the database which keys were destroyed, where nobody can take it back.

    A database that is restored from before reads it there and destroys them again before it
    opens. Raises StoreUnavailable and StoreRefused.

    Source: design, *Backups*.
    """
    lines = batch.rows().filter(key_destroyed_at__isnull=False, ledger_key="")
    by_run: dict[UUID, list[Destruction]] = defaultdict(list)
    for row in lines.order_by("conversation_id").only(*_IN_LEDGER):
        by_run[row.run_id].append(row)
    for rows in by_run.values():
        # Written again after a lost answer, it is the same key.
        key = ledger.key_of(rows, token=batch.token)
        _put(anchor, key=key, body=ledger.body_of(rows, now=now), now=now)
        _note_ledger(batch=batch, rows=rows, key=key, actor=actor, now=now)


def _put(anchor: Ledger, *, key: str, body: bytes, now: datetime) -> None:
    retain_until = now + timedelta(days=settings.LEDGER_KEPT_DAYS)
    try:
        anchor.put_locked(key, body, retain_until=retain_until)
    except ObjectExists:
        # Nobody else has this token: it is our own earlier try, whose answer was lost.
        return


@transaction.atomic
def _note_ledger(
    *, batch: Batch, rows: Sequence[Destruction], key: str, actor: Actor, now: datetime
) -> None:
    noted = (
        batch.rows()
        .filter(among("pk", [row.pk for row in rows]))
        .update(ledger_key=key, **progressed(now))
    )
    if noted:
        LedgerEntry.objects.get_or_create(key=key, defaults={"noted_at": now})
        append(
            event_type=EventType.LEDGER_WRITTEN,
            actor=actor,
            now=now,
            log=None,
            target=Target("purge_run", str(rows[0].run_id)),
            facts={"conversations": noted},
        )


@transaction.atomic
def note_strays(
    *, batch: Batch, strays: Mapping[UUID, Sequence[tuple[str, str]]], now: datetime
) -> None:
    """Note versions that no row knew of on the certificate lines, before they are deleted."""
    for row in batch.locked():
        known = {(key, version_id) for key, version_id, _ in row.objects_destroyed}
        found = [version for version in strays.get(row.conversation_id, []) if version not in known]
        if found:
            row.objects_destroyed += [[key, version_id, None] for key, version_id in found]
            row.leased_until = lease_end(now)
            row.save(update_fields=["objects_destroyed", "leased_until"])


@transaction.atomic
def conclude(
    *,
    batch: Batch,
    gone: Sequence[UUID],
    deleted_at: datetime,
    confirmed_at: datetime,
    actor: Actor,
    now: datetime,
) -> list[UUID]:
    """
    Conclude those of the batch whose objects are confirmed to be gone, each exactly once.

    Returns those concluded now.
    """
    lifecycle.lock_rows(conversation_ids=gone)
    with connection.cursor() as cursor:
        cursor.execute(
            _CONCLUDE,
            {
                "ids": uuid_array(gone),
                "token": batch.token,
                "deleted_at": deleted_at,
                "confirmed_at": confirmed_at,
                "now": now,
            },
        )
        run_of: dict[UUID, UUID] = dict(cursor.fetchall())
    return lifecycle.conclude(run_of=run_of, actor=actor, now=now)


def raise_incident(*, kind: str, actor: Actor, now: datetime) -> None:
    """Say in the audit log that something happened that must not."""
    with transaction.atomic():
        append(
            event_type=EventType.INCIDENT_RAISED,
            actor=actor,
            now=now,
            log=None,
            outcome=Outcome.ERROR,
            facts={"kind": kind},
        )
