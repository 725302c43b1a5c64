"""Lets one range of a recording be heard: checked, logged, and only then decrypted."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from audit.events import EventType, FactValue, Target
from recordings.content_keys import content_key, rendition_body
from recordings.encryption import SegmentReader, SegmentSpan, segments_for
from recordings.keyring import Keyring
from recordings.models import Dialog, Rendition, StoredObject
from recordings.operations.access import Looker, open_conversation, refuse
from recordings.ranges import ByteRange, RangeNotSatisfiable, parse_range


@dataclass(frozen=True, slots=True)
class OpenedRange:
    """What may leave now: which bytes, of which stored version, under which key."""

    range: ByteRange
    mediatype: str
    object_key: str
    version_id: str
    span: SegmentSpan
    reader: SegmentReader


def open_range(
    *,
    looker: Looker,
    dialog_id: UUID,
    play_id: UUID,
    range_header: str | None,
    keyring: Keyring,
) -> OpenedRange:
    """
    Ask the rule for this range and commit its event; the page groups events by play id.

    Raises AccessRefused, RangeNotSatisfiable (nothing may leave, so nothing is logged as heard),
    AuditUnavailable, KeyMissing, KeyringUnavailable.

    Source: design, laws 1, 2 and 3.
    """
    dialog = (
        Dialog.objects.filter(pk=dialog_id, kind=Dialog.Kind.RECORDING)
        .select_related("stored_object")
        .first()
    )
    if dialog is None:
        refuse(
            looker=looker,
            conversation_id=None,
            event_type=EventType.PLAYBACK_REFUSED,
            facts={"play": play_id},
        )
    rendition, stored = _heard(dialog)
    wanted: ByteRange | None
    try:
        wanted = parse_range(
            range_header, size=stored.plain_size_bytes, most=settings.STREAM_RANGE_BYTES
        )
        facts: dict[str, FactValue] = {
            "play": play_id,
            "first_byte": wanted.first,
            "last_byte": wanted.last,
        }
    except RangeNotSatisfiable:
        wanted, facts = None, {"play": play_id, "bytes": 0}
    conversation = open_conversation(
        looker=looker,
        conversation_id=dialog.conversation_id,
        event_type=EventType.DIALOG_PLAYED,
        target=Target("dialog", str(dialog.pk)),
        facts=facts,
        refused_as=EventType.PLAYBACK_REFUSED,
        refused_facts={"play": play_id},
    )
    if wanted is None:
        raise RangeNotSatisfiable(stored.plain_size_bytes)
    return OpenedRange(
        range=wanted,
        mediatype=rendition.mediatype if rendition else dialog.mediatype,
        object_key=stored.key,
        version_id=stored.version_id,
        span=segments_for(wanted.first, wanted.last, wanted.size),
        reader=SegmentReader(
            key=content_key(conversation=conversation, keyring=keyring),
            associated_data=(rendition or dialog).pk.bytes,
            header=bytes(stored.stream_header),
        ),
    )


def _heard(dialog: Dialog) -> tuple[Rendition | None, StoredObject]:
    """What a browser plays: the rendition made for it, or the original."""
    rendition = (
        dialog.renditions.filter(kind=Rendition.Kind.PLAYABLE)
        .select_related("stored_object")
        .first()
    )
    if rendition is not None and rendition.stored_object is not None:
        return rendition, rendition.stored_object
    return None, dialog.stored_object


def open_waveform(*, looker: Looker, dialog_id: UUID, keyring: Keyring) -> tuple[Dialog, bytes]:
    """
    Open the peaks of a recording; a look like any other.

    Raises AccessRefused, AuditUnavailable, KeyMissing, KeyringUnavailable, ContentAltered.
    """
    peaks = (
        Rendition.objects.filter(dialog=dialog_id, kind=Rendition.Kind.PEAKS)
        .select_related("dialog")
        .first()
    )
    if peaks is None:
        refuse(looker=looker, conversation_id=None, event_type=EventType.CONVERSATION_REFUSED)
    conversation = open_conversation(
        looker=looker,
        conversation_id=peaks.dialog.conversation_id,
        event_type=EventType.CONVERSATION_VIEWED,
        target=Target("rendition", str(peaks.pk)),
        facts={"kind": "peaks"},
    )
    key = content_key(conversation=conversation, keyring=keyring)
    return peaks.dialog, rendition_body(rendition=peaks, key=key)
