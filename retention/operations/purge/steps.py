"""The steps of a purge that change rows: each one short transaction, each safe to repeat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from audit.events import Actor, EventType, Target
from audit.operations import append
from recordings.models import PermittedUse
from recordings.objectstore import ObjectExists, ObjectStore
from recordings.operations import lifecycle
from retention import ledger
from retention.models import Destruction, LedgerEntry, PurgeRun
from retention.operations.bars import barred_by_criteria
from retention.operations.purge.leases import Batch, lease_end, progressed

# Adds to each certificate line the versions that rows know of, with the digests of what was stored.
_NOTE_STORED_OBJECTS = """
UPDATE retention_destruction AS destruction
SET objects_destroyed = destruction.objects_destroyed || stored.versions
FROM (
    SELECT conversation_id,
           jsonb_agg(
               jsonb_build_array(key, version_id, encode(ciphertext_sha256, 'hex')) ORDER BY key
           ) AS versions
    FROM recordings_storedobject
    WHERE conversation_id = ANY(%s)
    GROUP BY conversation_id
) AS stored
WHERE destruction.conversation_id = stored.conversation_id
  AND destruction.lease_token = %s
  AND destruction.concluded_at IS NULL
  AND destruction.recalled_at IS NULL
"""


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
    withdrawn = lifecycle.withdraw(conversation_ids=free, run_id=run.pk, actor=actor, now=now)
    if not withdrawn:
        return None
    run.heartbeat_at = now
    if run._state.adding:
        run.save(force_insert=True)
        append(
            event_type=EventType.PURGE_RUN_STARTED,
            actor=actor,
            now=now,
            log=None,
            target=Target("purge_run", str(run.pk)),
            facts={"due": run.due_count, "held": run.held_count},
        )
    else:
        run.save(update_fields=["heartbeat_at"])
    ids = [conversation.pk for conversation in withdrawn]
    rules = rule_versions(ids)
    lines = []
    for conversation in withdrawn:
        assert conversation.destroy_after is not None
        lines.append(
            Destruction(
                run=run,
                conversation_id=conversation.pk,
                controller_id=conversation.controller_id,
                kind=conversation.kind,
                ended_at=conversation.ended_at,
                destroy_after=conversation.destroy_after,
                rule_versions=rules[conversation.pk],
                withdrawn_at=now,
                lease_token=token,
                leased_until=lease_end(now),
                attempts=1,
            )
        )
    Destruction.objects.bulk_create(lines)
    return Batch(token, tuple(ids))


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
    lifecycle.lock(conversation_ids=batch.conversation_ids)
    run_of = {
        row.conversation_id: row.run_id for row in batch.locked() if row.key_destroyed_at is None
    }
    if not run_of:
        return 0
    back = lifecycle.bring_back(
        conversation_ids=sorted(barred & run_of.keys()), actor=actor, now=now, reason="hold"
    )
    free = {pk: run for pk, run in run_of.items() if pk not in barred}
    result = lifecycle.destroy_keys(run_of=free, actor=actor, now=now)
    batch.rows().filter(conversation__in=result.destroyed).update(
        key_destroyed_at=now, **progressed(now)
    )
    recall(conversation_ids=[*back, *result.barred], now=now)
    return len(back) + len(result.barred)


def recall(*, conversation_ids: Sequence[UUID], now: datetime) -> None:
    """Take conversations that have been brought back out of their runs."""
    Destruction.objects.open().filter(conversation__in=conversation_ids).update(
        recalled_at=now, leased_until=None
    )


def write_ledger(*, batch: Batch, anchor: ObjectStore, actor: Actor, now: datetime) -> None:
    """
    Say outside the database which keys were destroyed, where nobody can take it back.

    A database that is restored from before reads it there and destroys them again before it
    opens. Raises StoreUnavailable and StoreRefused.

    Source: design, *Backups*.
    """
    lines = batch.rows().filter(key_destroyed_at__isnull=False, ledger_key="")
    by_run: dict[UUID, list[Destruction]] = defaultdict(list)
    for row in lines.order_by("conversation_id"):
        by_run[row.run_id].append(row)
    for rows in by_run.values():
        # Written again after a lost answer, it is the same key.
        key = ledger.key_of(rows, token=batch.token)
        _put(anchor, key=key, body=ledger.body_of(rows, now=now), now=now)
        _note_ledger(batch=batch, rows=rows, key=key, actor=actor, now=now)


def _put(anchor: ObjectStore, *, key: str, body: bytes, now: datetime) -> None:
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
        .filter(pk__in=[row.pk for row in rows])
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
    lifecycle.lock(conversation_ids=gone)
    confirmed = set(gone)
    run_of = {
        row.conversation_id: row.run_id
        for row in batch.locked()
        if row.conversation_id in confirmed and row.ledger_key
    }
    ids = list(run_of)
    with connection.cursor() as cursor:
        cursor.execute(_NOTE_STORED_OBJECTS, [ids, batch.token])
    concluded = lifecycle.conclude(run_of=run_of, actor=actor, now=now)
    batch.rows().filter(conversation__in=concluded).update(
        deleted_at=deleted_at,
        confirmed_at=confirmed_at,
        concluded_at=now,
        leased_until=None,
        next_try_at=None,
        problem="",
    )
    return concluded
