"""Takes a conversation in, once and for ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection, transaction
from django.utils.module_loading import import_string
from uuid_utils.compat import uuid7

from accounts.models import Source
from audit.events import Actor, EventType, Target
from audit.operations import append, append_alone
from recordings.encryption import generate_key
from recordings.formats.incoming import CannotCapture, IncomingConversation, IncomingFile
from recordings.keyring import Keyring, hash_key_name
from recordings.media import Examined, NotPlayable, differs, examine
from recordings.models import Conversation
from recordings.objectstore import ObjectStore
from recordings.objectstore import content_key as object_key
from recordings.operations import hashing
from recordings.operations.rows import Places, write_rows
from recordings.operations.sealing import Sealed, seal
from recordings.operations.workdir import work_directory

ACTOR = Actor.system("capture")
# How far the clock of a phone system may be ahead of ours.
CLOCK_SKEW = timedelta(minutes=5)


class ContentDiffers(CannotCapture):
    """The source captured something else under the same identifier before."""

    def __init__(self) -> None:
        super().__init__(
            "Another content was captured under the same identifier before; that one stays."
        )


class DestroyedBefore(CannotCapture):
    """It was captured before and has been destroyed since; it does not come back."""

    def __init__(self) -> None:
        super().__init__("It was captured before and has been destroyed; it does not come back.")


@dataclass(frozen=True, slots=True)
class Captured:
    """What became of a conversation: its id, and whether this delivery brought anything new."""

    conversation_id: UUID
    outcome: Literal["captured", "unchanged"]


@dataclass(frozen=True, slots=True)
class StoredDialog:
    """A dialog whose bytes lie in the store and whose row is still to be written."""

    id: UUID
    sealed: Sealed
    content_hash: bytes
    file: IncomingFile | None = None
    examined: Examined | None = None
    rendition_id: UUID | None = None
    rendition: Sealed | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One conversation under way: what was said of it, and what has been stored so far."""

    conversation_id: UUID
    incoming: IncomingConversation
    source: Source
    content_key: bytes
    external_id_hash: bytes
    content_hash: bytes
    dialogs: list[StoredDialog] = field(default_factory=list)


def capture(
    *,
    incoming: IncomingConversation,
    source: Source,
    store: ObjectStore,
    keyring: Keyring,
    now: datetime,
) -> Captured:
    """
    Store the conversation encrypted and write its rows, uses and event in one transaction.

    The same content again changes nothing. Killed at any point, it leaves at most objects that
    nothing can decrypt, which `reconcile` lists.

    Raises:
        CannotCapture: it has to wait in quarantine; the sentence says why.
        ContentDiffers, DestroyedBefore: kinds of it.
        StoreUnavailable, AuditUnavailable: try again later.
    """
    controller = source.controller
    if incoming.ended_at > now + CLOCK_SKEW:
        raise CannotCapture("The conversation ends in the future.")
    if incoming.controller not in (None, controller.slug):
        raise CannotCapture("The source is not entitled to capture for that company.")
    places = Places.find(incoming=incoming, source=source)
    id_hash = hashing.external_id_hash(
        keyring=keyring,
        controller_id=controller.pk,
        source_id=source.pk,
        external_id=incoming.external_id,
    )
    with _one_at_a_time(id_hash):
        file_hashes = [
            hashing.file_hash(
                keyring=keyring,
                controller_id=controller.pk,
                file=file,
                max_bytes=settings.CAPTURE_MAX_FILE_BYTES,
            )
            for file in incoming.files
        ]
        content_hash = hashing.conversation_hash(
            keyring=keyring,
            controller_id=controller.pk,
            incoming=incoming,
            file_hashes=file_hashes,
        )
        known = _known(source=source, id_hash=id_hash, content_hash=content_hash, now=now)
        if known is not None:
            return known
        with work_directory() as workdir:
            examined = [
                _examined(file=file, workdir=_made(workdir / str(place)))
                for place, file in enumerate(incoming.files)
            ]
            delivery = Delivery(
                conversation_id=uuid7(),
                incoming=_with_its_end(incoming, examined),
                source=source,
                content_key=generate_key(),
                external_id_hash=id_hash,
                content_hash=content_hash,
            )
            recordings = zip(incoming.files, file_hashes, examined, strict=True)
            for file, file_hash, found in recordings:
                delivery.dialogs.append(
                    _store_recording(
                        file=file,
                        file_hash=file_hash,
                        examined=found,
                        delivery=delivery,
                        store=store,
                        keyring=keyring,
                    )
                )
        if incoming.messages:
            delivery.dialogs.append(_store_chat(delivery=delivery, store=store))
        _commit(delivery=delivery, places=places, keyring=keyring, now=now)
    return Captured(delivery.conversation_id, "captured")


@contextmanager
def _one_at_a_time(id_hash: bytes) -> Iterator[None]:
    """Hold back whoever captures the same conversation; the lock goes with the connection."""
    number = int.from_bytes(id_hash[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [number])
    try:
        yield
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [number])


def _known(
    *, source: Source, id_hash: bytes, content_hash: bytes, now: datetime
) -> Captured | None:
    """Find whether it was captured before; what was destroyed stays refused, whatever comes."""
    row = Conversation.objects.filter(source=source, external_id_hash=id_hash).first()
    if row is None:
        return None
    if row.state != Conversation.State.KEPT:
        append_alone(
            event_type=EventType.CAPTURE_REFUSED,
            actor=ACTOR,
            now=now,
            log=source.controller_id,
            target=Target("conversation", str(row.pk)),
            facts={"reason": "destroyed_before"},
        )
        raise DestroyedBefore
    if bytes(row.content_hash) != content_hash:
        raise ContentDiffers
    return Captured(row.pk, "unchanged")


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _with_its_end(
    incoming: IncomingConversation, examined: Sequence[Examined]
) -> IncomingConversation:
    """A sender that does not say when it ended leaves that to the longest recording."""
    if not incoming.is_end_open:
        return incoming
    ends = [
        file.started_at + timedelta(seconds=found.duration_seconds)
        for file, found in zip(incoming.files, examined, strict=True)
    ]
    return replace(incoming, ended_at=max([incoming.ended_at, *ends]))


def _store_recording(
    *,
    file: IncomingFile,
    file_hash: bytes,
    examined: Examined,
    delivery: Delivery,
    store: ObjectStore,
    keyring: Keyring,
) -> StoredDialog:
    dialog_id = uuid7()
    again = keyring.hasher(hash_key_name(controller_id=delivery.source.controller_id))

    def hashed(chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            again.update(chunk)
            yield chunk

    with hashing.opened(file) as stream:
        sealed = _seal(
            delivery=delivery,
            store=store,
            object_id=dialog_id,
            chunks=hashed(hashing.chunks_of(stream)),
        )
    if again.digest() != file_hash:
        raise CannotCapture("The recording changed while it was being captured.")
    rendition_id, rendition = None, None
    if examined.playable_path is not None:
        rendition_id = uuid7()
        with examined.playable_path.open("rb") as playable:
            rendition = _seal(
                delivery=delivery,
                store=store,
                object_id=rendition_id,
                chunks=hashing.chunks_of(playable),
            )
    return StoredDialog(
        id=dialog_id,
        sealed=sealed,
        content_hash=file_hash,
        file=file,
        examined=examined,
        rendition_id=rendition_id,
        rendition=rendition,
    )


def _seal(
    *,
    delivery: Delivery,
    store: ObjectStore,
    object_id: UUID,
    chunks: Iterator[bytes],
) -> Sealed:
    return seal(
        store=store,
        key=object_key(
            ended_on=delivery.incoming.ended_at.astimezone(UTC).date(),
            conversation_id=delivery.conversation_id,
            part_id=object_id,
        ),
        chunks=chunks,
        content_key=delivery.content_key,
        object_id=object_id,
    )


def _examined(*, file: IncomingFile, workdir: Path) -> Examined:
    path = file.path
    if path is None:
        assert file.body is not None
        path = workdir / "original"
        path.write_bytes(file.body)
    try:
        examined = examine(
            path,
            name=file.name,
            mediatype=file.mediatype,
            codec_hint=file.codec_hint,
            sample_rate_hint=file.sample_rate_hint,
            channels_hint=file.channels_hint,
            workdir=workdir,
        )
    except NotPlayable as refused:
        raise CannotCapture(str(refused)) from refused
    if file.duration_seconds is not None and differs(
        file.duration_seconds, examined.duration_seconds
    ):
        raise CannotCapture(
            f"The recording lasts {examined.duration_seconds:.1f} s, the source says "
            f"{file.duration_seconds:.1f} s: it may have been cut."
        )
    if file.is_channel_map_certain and _names_other_channels(file, examined):
        raise CannotCapture("The source names a party for other channels than the recording has.")
    return examined


def _names_other_channels(file: IncomingFile, examined: Examined) -> bool:
    return bool(file.channel_roles) and len(file.channel_roles) != examined.channels


def _store_chat(*, delivery: Delivery, store: ObjectStore) -> StoredDialog:
    body = orjson.dumps(
        {
            "messages": [
                {
                    "at": message.at,
                    "party": message.party,
                    "text": message.text,
                    "mediatype": message.mediatype,
                    "message_id": message.message_id,
                    "edited": message.edited,
                    "deleted": message.deleted,
                }
                for message in delivery.incoming.messages
            ]
        }
    )
    dialog_id = uuid7()
    sealed = _seal(delivery=delivery, store=store, object_id=dialog_id, chunks=iter([body]))
    return StoredDialog(id=dialog_id, sealed=sealed, content_hash=delivery.content_hash)


@transaction.atomic
def _commit(*, delivery: Delivery, places: Places, keyring: Keyring, now: datetime) -> None:
    conversation, subject_id = write_rows(
        delivery=delivery, places=places, keyring=keyring, now=now
    )
    cover = import_string(settings.CAPTURE_COVERS_WITH)
    cover(conversation=conversation, keyring=keyring, now=now)
    append(
        event_type=EventType.CONVERSATION_CAPTURED,
        actor=ACTOR,
        now=now,
        log=delivery.source.controller_id,
        target=Target("conversation", str(conversation.pk)),
        subject=subject_id,
        facts={
            "source": delivery.source.pk,
            "kind": delivery.incoming.kind,
            "dialogs": len(delivery.dialogs),
        },
    )
