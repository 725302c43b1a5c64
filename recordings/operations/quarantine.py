"""Keeps what could not be captured, closed to everybody, until someone decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import NoReturn

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.models import Source
from audit.events import Actor, EventType, Target
from audit.operations import append, append_alone
from recordings.encryption import encrypt_bytes, generate_key
from recordings.keyring import Keyring, hash_key_name, kek_name
from recordings.models import QuarantinedItem
from recordings.objectstore import ObjectStore, quarantine_key
from recordings.operations.capture import DestroyedBefore
from recordings.operations.sealing import seal


def quarantine(
    *,
    source: Source,
    name: str,
    chunks: Callable[[], Iterator[bytes]],
    reason: str,
    store: ObjectStore,
    keyring: Keyring,
    now: datetime,
) -> QuarantinedItem:
    """
    Store the bytes encrypted, with the reason; the same bytes for the same reason wait once.

    `chunks` is called twice: to know them again, and to store them. Raises DestroyedBefore when
    the same bytes waited and were destroyed; StoreUnavailable and AuditUnavailable; OSError when
    the file cannot be read.
    """
    controller_id = source.controller_id
    reason = reason[:300]
    content_hash = keyring.keyed_hash(
        name=hash_key_name(controller_id=controller_id), chunks=chunks()
    )
    known = QuarantinedItem.objects.filter(source=source, content_hash=content_hash)
    waiting = known.waiting().filter(reason=reason).first()
    if waiting is not None:
        return waiting
    ended = known.filter(key_destroyed_at__isnull=False).first()
    if ended is not None:
        _refuse(ended, now=now)
    item = QuarantinedItem(
        source=source,
        controller_id=controller_id,
        received_at=now,
        decide_before=now + timedelta(days=settings.UNCOVERED_DECIDE_DAYS),
        reason=reason,
        content_hash=content_hash,
        kek_name=kek_name(controller_id=controller_id, month=None),
    )
    content_key = generate_key()
    sealed = seal(
        store=store,
        key=quarantine_key(received_on=now.date(), item_id=item.pk),
        chunks=chunks(),
        content_key=content_key,
        object_id=item.pk,
    )
    item.size_bytes = sealed.plain_size_bytes
    item.object_key, item.version_id = sealed.key, sealed.version_id
    item.sealed_name = encrypt_bytes(
        name.encode(errors="replace"), key=content_key, associated_data=item.pk.bytes
    )
    item.wrapped_key = keyring.wrap(
        kek_name=item.kek_name, content_key=content_key, context=item.pk.bytes
    )
    try:
        _commit(item=item, now=now)
    except IntegrityError:
        # Another process was first; what we stored is a stray that nothing can decrypt.
        return known.waiting().get(reason=reason)
    return item


def _refuse(ended: QuarantinedItem, *, now: datetime) -> NoReturn:
    """Say in the log that what was destroyed does not come back to wait for ever."""
    append_alone(
        event_type=EventType.CAPTURE_REFUSED,
        actor=Actor.system("capture"),
        now=now,
        log=ended.controller_id,
        target=Target("quarantined", str(ended.pk)),
        facts={"reason": "destroyed_before", "source": ended.source_id},
    )
    raise DestroyedBefore


@transaction.atomic
def _commit(*, item: QuarantinedItem, now: datetime) -> None:
    item.save(force_insert=True)
    append(
        event_type=EventType.CAPTURE_QUARANTINED,
        actor=Actor.system("capture"),
        now=now,
        log=item.controller_id,
        target=Target("quarantined", str(item.pk)),
        facts={"source": item.source_id, "bytes": item.size_bytes},
        detail={"reason": item.reason},
    )
