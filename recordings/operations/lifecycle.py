"""Moves conversations from kept to withdrawn to destroyed, and counts what bars that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from audit.events import Actor, EventType, FactValue, NewEvent, Target
from audit.operations import append_many
from recordings.keyring import Keyring
from recordings.models import (
    Conversation,
    Dialog,
    Party,
    PermittedUse,
    Segment,
    among,
    uuid_array,
)
from recordings.operations import uses

METHODS = ["cryptographic_erase", "delete"]
# Why something is destroyed that is not due by its own row.
LEDGER = "ledger"
# What is asked of many conversations at once; the rest of their rows is not fetched.
_ASKED = (
    *("controller_id", "kind", "state", "ended_at"),
    *("destroy_after", "uncovered_at", "key_destroyed_at"),
)

# By SQL, since Django would first read what is to go.
_DELETE_PEAKS = """
DELETE FROM recordings_rendition AS rendition USING recordings_dialog AS dialog
WHERE rendition.dialog_id = dialog.id AND dialog.conversation_id = ANY(%s::uuid[])
  AND rendition.stored_object_id IS NULL
"""
# In the order of what names what.
_DELETE_CONTENT = (
    "DELETE FROM recordings_rendition AS rendition USING recordings_dialog AS dialog "
    "WHERE rendition.dialog_id = dialog.id AND dialog.conversation_id = ANY(%s::uuid[])",
    "DELETE FROM recordings_dialog WHERE conversation_id = ANY(%s::uuid[])",
    "DELETE FROM recordings_storedobject WHERE conversation_id = ANY(%s::uuid[])",
    "UPDATE recordings_segment SET agent_id = NULL "
    "WHERE conversation_id = ANY(%s::uuid[]) AND agent_id IS NOT NULL",
    "DELETE FROM recordings_party WHERE conversation_id = ANY(%s::uuid[])",
    "DELETE FROM recordings_businessreference WHERE conversation_id = ANY(%s::uuid[])",
    "DELETE FROM recordings_permitteduse WHERE conversation_id = ANY(%s::uuid[]) "
    "AND only_for_id IS NOT NULL",
)


@dataclass(frozen=True, slots=True)
class KeysDestroyed:
    """Which conversations lost their keys, and which turned out to be barred or not due."""

    destroyed: list[UUID]
    barred: list[UUID]


def lock(*, conversation_ids: Sequence[UUID], skip_locked: bool = False) -> list[Conversation]:
    """
    Lock the conversations, always in the same order; whoever changes their state does so first.

    Ask questions only afterwards, in another statement: asked in one, they are answered from
    before the wait for the lock, and a hold placed meanwhile is missed.
    """
    rows = Conversation.objects.filter(among("pk", conversation_ids)).order_by("pk").only(*_ASKED)
    return list(rows.select_for_update(skip_locked=skip_locked))


def lock_rows(*, conversation_ids: Iterable[UUID], skip_locked: bool = False) -> list[UUID]:
    """Lock as `lock` does; gives the identifiers alone, of those there are."""
    rows = Conversation.objects.filter(among("pk", conversation_ids)).order_by("pk")
    return list(rows.select_for_update(skip_locked=skip_locked).values_list("pk", flat=True))


@transaction.atomic
def withdraw(
    *, conversation_ids: Sequence[UUID], run_id: UUID, actor: Actor, now: datetime
) -> list[UUID]:
    """
    Withdraw those of the conversations that are due: from here on nobody reaches them.

    A conversation that is held, no longer due, or being worked at elsewhere is left as it is.
    Returns those withdrawn.

    Source: ISO 15489-1:2016 on disposition under a current authority; design, *States*.
    """
    locked = lock_rows(conversation_ids=conversation_ids, skip_locked=True)
    due = Conversation.objects.filter(among("pk", locked)).due(at=now)
    rows = list(due.values_list("pk", "controller_id", "uncovered_at", "destroy_after"))
    ids = [pk for pk, *_ in rows]
    Conversation.objects.filter(among("pk", ids)).update(
        state=Conversation.State.WITHDRAWN, withdrawn_at=now
    )
    append_many(
        events=[
            _event(
                EventType.CONVERSATION_WITHDRAWN,
                pk,
                controller_id,
                actor=actor,
                now=now,
                facts={"run": run_id, "destroy_after": until, **_why(since, until)},
            )
            for pk, controller_id, since, until in rows
        ]
    )
    return ids


@transaction.atomic
def bring_back(
    *,
    conversation_ids: Sequence[UUID],
    actor: Actor,
    now: datetime,
    reason: Literal["hold", "not_due"],
) -> list[UUID]:
    """
    Bring withdrawn conversations back to kept, as long as their keys exist.

    Returns those brought back; one whose key is destroyed stays as it is: nothing can.
    """
    if not conversation_ids:
        return []
    lock_rows(conversation_ids=conversation_ids)
    rows = list(
        Conversation.objects.filter(
            among("pk", conversation_ids),
            state=Conversation.State.WITHDRAWN,
            key_destroyed_at=None,
        ).values_list("pk", "controller_id")
    )
    back = [pk for pk, _ in rows]
    Conversation.objects.filter(among("pk", back)).update(
        state=Conversation.State.KEPT, withdrawn_at=None
    )
    append_many(
        events=[
            _event(
                EventType.CONVERSATION_RECALLED,
                pk,
                controller_id,
                actor=actor,
                now=now,
                facts={"reason": reason},
            )
            for pk, controller_id in rows
        ]
    )
    return back


@transaction.atomic
def destroy_keys(*, run_of: Mapping[UUID, UUID], actor: Actor, now: datetime) -> KeysDestroyed:
    """
    Destroy the content keys of withdrawn conversations, and all small values sealed under them.

    From then on their content is unreadable wherever it lies. What is no longer due, for a hold
    or a request that came since, is brought back to kept instead. Again is harmless: a key that
    is gone stays gone with its first time. `run_of` names for each conversation its purge run.

    Source: NIST SP 800-88r2, cryptographic erase.
    """
    lock_rows(conversation_ids=run_of)
    withdrawn = Conversation.objects.filter(
        among("pk", run_of), state=Conversation.State.WITHDRAWN, key_destroyed_at=None
    )
    due = withdrawn.filter(destroy_after__lte=now, hold_count=0, open_requests=0)
    rows = list(due.values_list("pk", "controller_id"))
    ids = [pk for pk, _ in rows]
    barred = list(withdrawn.exclude(among("pk", ids)).values_list("pk", flat=True))
    back = bring_back(conversation_ids=barred, actor=actor, now=now, reason="not_due")
    _destroy_keys(rows, run_of=run_of, actor=actor, now=now)
    return KeysDestroyed(destroyed=ids, barred=back)


def _destroy_keys(
    rows: Sequence[tuple[UUID, UUID]],
    *,
    run_of: Mapping[UUID, UUID],
    actor: Actor,
    now: datetime,
    reason: str | None = None,
) -> None:
    ids = [pk for pk, _ in rows]
    with connection.cursor() as cursor:
        cursor.execute(_DELETE_PEAKS, [uuid_array(ids)])
    Dialog.objects.filter(among("conversation_id", ids)).update(sealed_name=None)
    Party.objects.filter(among("conversation_id", ids)).update(sealed_details=None)
    Conversation.objects.filter(among("pk", ids)).update(
        wrapped_key=None, kek_name="", key_destroyed_at=now
    )
    append_many(
        events=[
            _event(
                EventType.CONTENT_KEY_DESTROYED,
                pk,
                controller_id,
                actor=actor,
                now=now,
                facts={"run": run_of[pk], "reason": reason},
            )
            for pk, controller_id in rows
        ]
    )


@transaction.atomic
def destroy_again(
    *, run_of: Mapping[UUID, UUID], actor: Actor, now: datetime
) -> list[Conversation]:
    """
    Withdraw conversations that a backup has brought back, and destroy their keys once more.

    They were destroyed: the ledger says so, and whether they are due is not asked again. A
    conversation that is held is left as it is, and so is one whose key is gone. Returns those
    whose keys were destroyed now; `run_of` names for each conversation the run that does it.

    Source: design, *Backups*.
    """
    lock(conversation_ids=list(run_of))
    rows = list(
        Conversation.objects.filter(
            pk__in=list(run_of), hold_count=0, key_destroyed_at=None, wrapped_key__isnull=False
        ).only(*_ASKED)
    )
    kept = [row for row in rows if row.state == Conversation.State.KEPT]
    Conversation.objects.filter(pk__in=[row.pk for row in kept]).update(
        state=Conversation.State.WITHDRAWN, withdrawn_at=now
    )
    append_many(
        events=[
            _event(
                EventType.CONVERSATION_WITHDRAWN,
                row.pk,
                row.controller_id,
                actor=actor,
                now=now,
                facts={
                    "run": run_of[row.pk],
                    "destroy_after": row.destroy_after,
                    "reason": LEDGER,
                },
            )
            for row in kept
        ]
    )
    ended = [(row.pk, row.controller_id) for row in rows]
    _destroy_keys(ended, run_of=run_of, actor=actor, now=now, reason=LEDGER)
    return rows


@transaction.atomic
def close(*, conversation_ids: Sequence[UUID], actor: Actor, now: datetime) -> list[UUID]:
    """
    Close kept conversations to everybody until somebody has decided about what the ledger says.

    Returns those closed now.
    """
    lock(conversation_ids=conversation_ids)
    rows = list(
        Conversation.objects.kept().filter(pk__in=conversation_ids, closed_at=None).only(*_ASKED)
    )
    ids = [row.pk for row in rows]
    Conversation.objects.filter(pk__in=ids).update(closed_at=now)
    append_many(
        events=[
            _event(
                EventType.CONVERSATION_CLOSED,
                row.pk,
                row.controller_id,
                actor=actor,
                now=now,
                facts={"reason": LEDGER},
            )
            for row in rows
        ]
    )
    return ids


@transaction.atomic
def conclude(*, run_of: Mapping[UUID, UUID], actor: Actor, now: datetime) -> list[UUID]:
    """
    Turn conversations whose key and objects are gone into residual records.

    What stays says that there was a conversation of this kind at that time, served by these teams
    and kept on these rules, and nothing of who took part or what was said. The keyed hashes stay,
    so that it is not captured again. The caller has made sure that the objects are gone.

    Returns those concluded now; one already destroyed is left as it is.

    Source: design, law 5.
    """
    lock_rows(conversation_ids=run_of)
    rows = list(
        Conversation.objects.filter(
            among("pk", run_of),
            state=Conversation.State.WITHDRAWN,
            key_destroyed_at__isnull=False,
        ).values_list("pk", "controller_id", "uncovered_at", "destroy_after")
    )
    ids = [pk for pk, *_ in rows]
    with connection.cursor() as cursor:
        for statement in _DELETE_CONTENT:
            cursor.execute(statement, [uuid_array(ids)])
    Conversation.objects.filter(among("pk", ids)).update(
        state=Conversation.State.DESTROYED,
        destroyed_at=now,
        external_id="",
        outcome="",
        tags=[],
        language="",
        message_count=0,
    )
    append_many(
        events=[
            _event(
                EventType.CONVERSATION_DESTROYED,
                pk,
                controller_id,
                actor=actor,
                now=now,
                facts={"run": run_of[pk], "methods": METHODS, **_why(since, until)},
            )
            for pk, controller_id, since, until in rows
        ]
    )
    return ids


def delete_residual(*, conversation_ids: Sequence[UUID]) -> int:
    """
    Delete what is left of destroyed conversations. Returns how many there were.

    The caller has made sure that their term is past and deleted their proof; the database refuses
    it otherwise. From then on their source could deliver them anew.

    Source: design, law 5.
    """
    for model in (Segment, PermittedUse):
        model.objects.filter(conversation__in=conversation_ids).delete()
    Conversation.objects.filter(linked_to__in=conversation_ids).update(linked_to=None)
    rows = Conversation.objects.filter(pk__in=conversation_ids, state=Conversation.State.DESTROYED)
    return rows.delete()[0]


@transaction.atomic
def count_holds(
    *, conversation_ids: Sequence[UUID], change: Literal[1, -1], keyring: Keyring | None
) -> None:
    """
    Count one hold more, or one fewer, on each of the kept conversations.

    With a keyring a held one's key is wrapped under the open key-encryption key, which no month
    takes with it, and goes back under its month's when the last hold is lifted.

    Raises:
        NotKept: one of them is withdrawn or destroyed; nothing was counted.
        KeyringUnavailable, KeyMissing, KeyDoesNotFit: a key could not be wrapped anew.
    """
    rows = lock(conversation_ids=conversation_ids)
    if any(row.state != Conversation.State.KEPT for row in rows):
        raise uses.NotKept
    Conversation.objects.filter(pk__in=[row.pk for row in rows]).update(
        hold_count=F("hold_count") + change
    )
    if keyring is not None:
        uses.rewrap_many(conversation_ids=[row.pk for row in rows], keyring=keyring)


def _why(since: datetime | None, until: datetime | None) -> dict[str, FactValue]:
    """Of what ends without a rule the certificate says so: its line holds this event."""
    if since is None or until is None:
        return {}
    is_early = until - since < timedelta(days=settings.UNCOVERED_DECIDE_DAYS)
    return {"reason": "no_rule_decided" if is_early else "no_rule_undecided"}


def _event(
    event_type: EventType,
    conversation_id: UUID,
    controller_id: UUID,
    *,
    actor: Actor,
    now: datetime,
    facts: Mapping[str, FactValue] | None = None,
) -> NewEvent:
    return NewEvent(
        event_type=event_type,
        actor=actor,
        now=now,
        log=controller_id,
        target=Target("conversation", str(conversation_id)),
        facts=facts,
    )
