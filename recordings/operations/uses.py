"""Writes what a conversation may be used for, when it ends, and the key that goes with that end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction

from recordings.keyring import Keyring, kek_name
from recordings.models import Conversation, PermittedUse


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
    *, conversation: Conversation, uses: Sequence[NewUse], keyring: Keyring | None = None
) -> bool:
    """
    Make these the uses that rules permit, and their latest end the conversation's.

    Uses that a matter permits stay as they are and do not move the end: the matter's hold bars
    destruction by itself. Without any use the conversation has no end and is closed to everybody.
    With a keyring the content key is wrapped anew where its month changed. The instance given is
    brought up to date.

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
    ends_at = max((use.until_at for use in uses), default=None)
    if locked.destroy_after != ends_at:
        locked.destroy_after = ends_at
        locked.save(update_fields=["destroy_after"])
        changed = True
    conversation.destroy_after = ends_at
    conversation.hold_count = locked.hold_count
    if keyring is not None:
        rewrap(conversation=conversation, keyring=keyring)
    return changed


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
