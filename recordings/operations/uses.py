"""Writes what a conversation may be used for, when it ends, and the key that goes with that end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from recordings.keyring import KeyDoesNotFit, KeyMissing, Keyring, kek_name
from recordings.models import Conversation, PermittedUse
from recordings.operations import keks

# Django's `bulk_update` tells rows apart in a CASE, which takes longer than all the rest.
_MOVE = """
UPDATE recordings_conversation AS mine
SET destroy_after = new.destroy_after, uncovered_at = new.uncovered_at,
    wrapped_key = new.wrapped_key, kek_name = new.kek_name
FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[], %s::bytea[], %s::text[])
    AS new (id, destroy_after, uncovered_at, wrapped_key, kek_name)
WHERE mine.id = new.id
"""
_MOVE_USES = """
UPDATE recordings_permitteduse AS mine SET from_at = new.from_at, until_at = new.until_at
FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[]) AS new (id, from_at, until_at)
WHERE mine.id = new.id
"""


class NotKept(Exception):
    """The conversation is withdrawn or destroyed: nothing opens it any more."""

    def __init__(self, sentence: str = "The conversation is no longer kept.") -> None:
        super().__init__(sentence)


@dataclass(frozen=True, slots=True)
class NewUse:
    """A use that a rule permits: purpose and rule version by id, half-open from … until in UTC."""

    purpose: UUID
    from_at: datetime
    until_at: datetime
    authority: UUID


def kek_name_for(conversation: Conversation) -> str:
    """
    Return the name of the key-encryption key that the conversation's content key belongs under.

    Source: design, *Content*: one per controller and month of `destroy_after` (in UTC), and the
    open one where there is no such time or a hold.
    """
    ends_at = conversation.destroy_after
    month = None if ends_at is None or conversation.hold_count else f"{ends_at:%Y-%m}"
    return kek_name(controller_id=conversation.controller_id, month=month)


@transaction.atomic
def write_uses(
    *,
    conversation: Conversation,
    uses: Sequence[NewUse],
    now: datetime,
    keyring: Keyring | None = None,
) -> bool:
    """
    Make these the uses that rules permit, and their latest end the conversation's.

    Uses that a matter permits stay as they are and do not move the end: the matter's hold bars
    destruction by itself. Without any use the conversation is closed to everybody and ends
    UNCOVERED_DECIDE_DAYS after it came to that. With a keyring the content key is wrapped anew
    where its month changed. The instance given is brought up to date.

    Returns whether anything changed.

    Raises:
        NotKept: it is withdrawn or destroyed; nothing was written.
        KeyringUnavailable, KeyMissing, KeyDoesNotFit: the key could not be wrapped anew.
    """
    # Lock first, ask afterwards: a purge that withdraws it meanwhile must be seen.
    locked = Conversation.objects.select_for_update(no_key=True).get(pk=conversation.pk)
    if locked.state != Conversation.State.KEPT:
        raise NotKept
    changed = bool(_replace({conversation.pk: uses}))
    if _ends_otherwise(locked, uses, now):
        locked.save(update_fields=["destroy_after", "uncovered_at"])
        changed = True
    conversation.destroy_after = locked.destroy_after
    conversation.uncovered_at = locked.uncovered_at
    conversation.hold_count = locked.hold_count
    if keyring is not None:
        rewrap(conversation=conversation, keyring=keyring)
    return changed


@transaction.atomic
def write_uses_of_many(
    *,
    uses: Mapping[UUID, Sequence[NewUse]],
    now: datetime,
    keyring: Keyring | None = None,
) -> dict[UUID, Conversation]:
    """
    Do the same for many conversations, by id, in a few statements; those it is not needed for cost
    none.

    A content key that is lost or does not fit is left as it is: it must not keep the end of its
    conversation as it was. Returns the rows of those of which anything changed, by id.

    Raises:
        NotKept: one of them is withdrawn or destroyed; nothing was written.
        KeyringUnavailable: nothing was written.
    """
    rows = Conversation.objects.select_for_update(no_key=True).filter(pk__in=list(uses))
    locked = {row.pk: row for row in rows.order_by("pk")}
    if any(row.state != Conversation.State.KEPT for row in locked.values()):
        raise NotKept
    changed = _replace({pk: uses[pk] for pk in locked})
    written = []
    kept_keys: set[str] = set()
    for row in locked.values():
        is_moved = _ends_otherwise(row, uses[row.pk], now)
        if is_moved:
            changed.add(row.pk)
        if keyring is not None:
            with suppress(KeyMissing, KeyDoesNotFit):
                is_moved |= _rewrap(row, keyring, kept_keys)
        if is_moved:
            written.append(row)
    _move(written)
    return {pk: locked[pk] for pk in changed}


@transaction.atomic
def move_deadline(
    *, conversation_id: UUID, destroy_after: datetime, keyring: Keyring | None = None
) -> bool:
    """
    Let what no rule covers end at another time, as two persons decided.

    Returns False, and changes nothing, if it is no longer kept or a rule covers it now.

    Raises:
        KeyringUnavailable, KeyMissing, KeyDoesNotFit: nothing was written.
    """
    locked = Conversation.objects.select_for_update(no_key=True).get(pk=conversation_id)
    if locked.state != Conversation.State.KEPT or locked.uncovered_at is None:
        return False
    locked.destroy_after = destroy_after
    locked.save(update_fields=["destroy_after"])
    if keyring is not None:
        rewrap(conversation=locked, keyring=keyring)
    return True


def rewrap(*, conversation: Conversation, keyring: Keyring) -> bool:
    """
    Wrap the content key under the key-encryption key that now belongs to it, if that is another.

    Returns whether it was wrapped anew. The instance given is brought up to date.

    Raises:
        KeyringUnavailable, KeyMissing, KeyDoesNotFit: the row is as it was.
    """
    wrapped = rewrap_many(conversation_ids=[conversation.pk], keyring=keyring)
    for row in wrapped:
        conversation.wrapped_key, conversation.kek_name = row.wrapped_key, row.kek_name
    return bool(wrapped)


@transaction.atomic
def rewrap_many(*, conversation_ids: Sequence[UUID], keyring: Keyring) -> list[Conversation]:
    """
    Do what `rewrap` does for many conversations, all or none. Returns those wrapped anew.

    Raises as `rewrap` does.
    """
    locked = (
        Conversation.objects.filter(pk__in=conversation_ids, wrapped_key__isnull=False)
        .exclude(kek_name="")
        .select_for_update(no_key=True)
        .only("controller_id", "destroy_after", "hold_count", "kek_name", "wrapped_key")
        .order_by("pk")
    )
    kept_keys: set[str] = set()
    changed = [row for row in locked if _rewrap(row, keyring, kept_keys)]
    Conversation.objects.bulk_update(changed, ["wrapped_key", "kek_name"], batch_size=500)
    return changed


def _rewrap(row: Conversation, keyring: Keyring, kept_keys: set[str]) -> bool:
    """
    Wrap the key in the instance anew where it belongs under another; say whether it did.

    `kept_keys` are those that this transaction keeps already.
    """
    name = kek_name_for(row)
    if row.wrapped_key is None or not row.kek_name or row.kek_name == name:
        return False
    if name not in kept_keys:
        keks.keep(kek_name=name)
        kept_keys.add(name)
    context = row.pk.bytes
    content_key = keyring.unwrap(
        kek_name=row.kek_name, wrapped_key=bytes(row.wrapped_key), context=context
    )
    row.wrapped_key = keyring.wrap(kek_name=name, content_key=content_key, context=context)
    row.kek_name = name
    return True


def _move(rows: Sequence[Conversation]) -> None:
    """Write the end and the key of the instances, in one statement."""
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(
                _MOVE,
                [
                    [row.pk for row in rows],
                    [row.destroy_after for row in rows],
                    [row.uncovered_at for row in rows],
                    [row.wrapped_key and bytes(row.wrapped_key) for row in rows],
                    [row.kek_name for row in rows],
                ],
            )


def _move_uses(rows: Sequence[PermittedUse]) -> None:
    """Write from when until when the instances permit, in one statement."""
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(
                _MOVE_USES,
                [
                    [row.pk for row in rows],
                    [row.from_at for row in rows],
                    [row.until_at for row in rows],
                ],
            )


def _ends_otherwise(row: Conversation, uses: Sequence[NewUse], now: datetime) -> bool:
    """
    Give the instance the latest end of the uses; say whether that changed it.

    What stays uncovered keeps its time, however often rules change.
    """
    before = (row.destroy_after, row.uncovered_at)
    if uses:
        row.destroy_after, row.uncovered_at = max(use.until_at for use in uses), None
    elif row.uncovered_at is None:
        row.destroy_after = now + timedelta(days=settings.UNCOVERED_DECIDE_DAYS)
        row.uncovered_at = now
    return (row.destroy_after, row.uncovered_at) != before


def _replace(uses: Mapping[UUID, Sequence[NewUse]]) -> set[UUID]:
    """Bring the rows of rule authority into line, touching only those that differ; say whose."""
    wanted = {(pk, use.purpose, use.authority): use for pk, some in uses.items() for use in some}
    gone, moved = [], []
    rows = PermittedUse.objects.filter(
        conversation__in=list(uses), authority_kind=PermittedUse.AuthorityKind.RULE
    )
    for row in rows:
        use = wanted.pop((row.conversation_id, row.purpose_id, row.authority), None)
        if use is None:
            gone.append(row)
        elif (row.from_at, row.until_at) != (use.from_at, use.until_at):
            row.from_at, row.until_at = use.from_at, use.until_at
            moved.append(row)
    PermittedUse.objects.filter(pk__in=[row.pk for row in gone]).delete()
    _move_uses(moved)
    PermittedUse.objects.bulk_create(
        PermittedUse(
            conversation_id=pk,
            purpose_id=use.purpose,
            from_at=use.from_at,
            until_at=use.until_at,
            authority_kind=PermittedUse.AuthorityKind.RULE,
            authority=use.authority,
        )
        for (pk, _purpose, _authority), use in wanted.items()
    )
    return {row.conversation_id for row in [*gone, *moved]} | {pk for pk, *_rest in wanted}
