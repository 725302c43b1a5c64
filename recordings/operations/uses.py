"""Writes what a conversation may be used for, when it ends, and the key that goes with that end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction

from recordings.keyring import Keyring, kek_name
from recordings.models import Conversation, PermittedUse
from recordings.operations import keks


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
    changed = _replace(locked, uses)
    changed |= _end(locked, uses, now)
    conversation.destroy_after = locked.destroy_after
    conversation.uncovered_at = locked.uncovered_at
    conversation.hold_count = locked.hold_count
    if keyring is not None:
        rewrap(conversation=conversation, keyring=keyring)
    return changed


def _end(locked: Conversation, uses: Sequence[NewUse], now: datetime) -> bool:
    """Write when it ends. What stays uncovered keeps its time, however often rules change."""
    before = (locked.destroy_after, locked.uncovered_at)
    if uses:
        locked.destroy_after, locked.uncovered_at = max(use.until_at for use in uses), None
    elif locked.uncovered_at is None:
        locked.destroy_after = now + timedelta(days=settings.UNCOVERED_DECIDE_DAYS)
        locked.uncovered_at = now
    if (locked.destroy_after, locked.uncovered_at) == before:
        return False
    locked.save(update_fields=["destroy_after", "uncovered_at"])
    return True


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
    changed = []
    for row in locked:
        name = kek_name_for(row)
        if row.kek_name == name:
            continue
        keks.keep(kek_name=name)
        assert row.wrapped_key is not None
        context = row.pk.bytes
        content_key = keyring.unwrap(
            kek_name=row.kek_name, wrapped_key=bytes(row.wrapped_key), context=context
        )
        row.wrapped_key = keyring.wrap(kek_name=name, content_key=content_key, context=context)
        row.kek_name = name
        changed.append(row)
    Conversation.objects.bulk_update(changed, ["wrapped_key", "kek_name"], batch_size=500)
    return changed


def _replace(conversation: Conversation, uses: Sequence[NewUse]) -> bool:
    """Bring the rows of rule authority into line, touching only those that differ."""
    wanted = {(use.purpose, use.authority): use for use in uses}
    changed = False
    rows = conversation.permitted_uses.filter(authority_kind=PermittedUse.AuthorityKind.RULE)
    for row in rows:
        use = wanted.pop((row.purpose_id, row.authority), None)
        if use is None:
            row.delete()
            changed = True
        elif (row.from_at, row.until_at) != (use.from_at, use.until_at):
            row.from_at, row.until_at = use.from_at, use.until_at
            row.save(update_fields=["from_at", "until_at"])
            changed = True
    PermittedUse.objects.bulk_create(
        PermittedUse(
            conversation=conversation,
            purpose_id=use.purpose,
            from_at=use.from_at,
            until_at=use.until_at,
            authority_kind=PermittedUse.AuthorityKind.RULE,
            authority=use.authority,
        )
        for use in wanted.values()
    )
    return changed or bool(wanted)
