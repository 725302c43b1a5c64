"""Finds the places a delivery names, and writes the rows of what was captured."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import orjson

from accounts.models import PrivacyNotice, Queue, Source, Team, User
from recordings.encryption import encrypt_bytes
from recordings.formats.incoming import CannotCapture, IncomingConversation
from recordings.keyring import Keyring, kek_name
from recordings.models import (
    BusinessReference,
    Conversation,
    DataSubject,
    Dialog,
    Party,
    Rendition,
    Segment,
    StoredObject,
)
from recordings.operations import hashing
from recordings.operations.sealing import Sealed

if TYPE_CHECKING:
    from recordings.operations.capture import Delivery, StoredDialog

CHAT_MEDIATYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Places:
    """The teams, queues and people that a delivery names."""

    teams: dict[str, Team]
    queues: dict[str, Queue]
    users: dict[str, User]

    @classmethod
    def find(cls, *, incoming: IncomingConversation, source: Source) -> Places:
        """
        Look up what is named.

        An agent whom we do not know is no bar: her name stays with the conversation. A team or a
        queue that we do not know is one, since scope and rules go by it.

        Raises CannotCapture.
        """
        team_slugs = {segment.team for segment in incoming.segments if segment.team}
        queue_slugs = {segment.queue for segment in incoming.segments if segment.queue}
        logins = {party.login for party in incoming.parties if party.login}
        teams = {team.slug: team for team in Team.objects.filter(slug__in=team_slugs)}
        queues = {
            queue.slug: queue
            for queue in Queue.objects.filter(
                slug__in=queue_slugs, controller_id=source.controller_id
            )
        }
        if team_slugs - teams.keys():
            raise CannotCapture("A team that is named is not known here.")
        if queue_slugs - queues.keys():
            raise CannotCapture("A queue that is named is not known for the company.")
        users = {user.login: user for user in User.objects.filter(login__in=logins) if user.login}
        return cls(teams, queues, users)


def write_rows(
    *, delivery: Delivery, places: Places, keyring: Keyring, now: datetime
) -> tuple[Conversation, UUID | None]:
    """
    Write the conversation with its parties, segments, dialogs and renditions.

    Its key is wrapped under the open KEK until rules say when it ends. Returns the conversation
    and the reference of its data subject, if one is known.
    """
    incoming = delivery.incoming
    kek = kek_name(controller_id=delivery.source.controller_id, month=None)
    conversation = Conversation.objects.create(
        id=delivery.conversation_id,
        controller=delivery.source.controller,
        source=delivery.source,
        external_id=incoming.external_id[:500],
        external_id_hash=delivery.external_id_hash,
        content_hash=delivery.content_hash,
        kind=incoming.kind,
        direction=incoming.direction or "",
        started_at=incoming.started_at,
        ended_at=incoming.ended_at,
        duration_seconds=_duration_seconds(delivery),
        message_count=len(incoming.messages),
        language=incoming.language or "",
        outcome=incoming.outcome or "",
        tags=list(incoming.tags),
        notice=(incoming.notice or _notice_in_force(delivery))[:100],
        informed_by=incoming.informed_by or "",
        linked_to=_earlier(delivery=delivery, keyring=keyring),
        captured_at=now,
        kek_name=kek,
        wrapped_key=keyring.wrap(
            kek_name=kek,
            content_key=delivery.content_key,
            context=delivery.conversation_id.bytes,
        ),
    )
    parties = _write_parties(delivery=delivery, places=places, keyring=keyring)
    _write_segments(delivery=delivery, places=places, parties=parties)
    _write_references(delivery=delivery, keyring=keyring)
    for position, dialog in enumerate(delivery.dialogs):
        _write_dialog(delivery=delivery, position=position, stored=dialog)
    subjects = [party.data_subject_id for party in parties if party.data_subject_id]
    return conversation, subjects[0] if subjects else None


def _notice_in_force(delivery: Delivery) -> str:
    """The version of the company's newest privacy notice when the conversation began, if any."""
    notice = PrivacyNotice.objects.in_force(
        controller=delivery.source.controller, at=delivery.incoming.started_at
    )
    return notice.version if notice else ""


def _earlier(*, delivery: Delivery, keyring: Keyring) -> Conversation | None:
    """The conversation that this one continues, if the same source brought it."""
    if delivery.incoming.linked_to is None:
        return None
    return Conversation.objects.filter(
        source=delivery.source,
        external_id_hash=hashing.external_id_hash(
            keyring=keyring,
            controller_id=delivery.source.controller_id,
            source_id=delivery.source.pk,
            external_id=delivery.incoming.linked_to,
        ),
    ).first()


def _duration_seconds(delivery: Delivery) -> float:
    heard = [dialog.examined.duration_seconds for dialog in delivery.dialogs if dialog.examined]
    if heard:
        return float(sum(heard))
    return (delivery.incoming.ended_at - delivery.incoming.started_at).total_seconds()


def _write_parties(*, delivery: Delivery, places: Places, keyring: Keyring) -> list[Party]:
    parties = []
    for position, said in enumerate(delivery.incoming.parties):
        party = Party(
            conversation_id=delivery.conversation_id,
            position=position,
            role=said.role,
            user=places.users.get(said.login) if said.login else None,
        )
        if said.role == "customer" and said.identifiers:
            kind, value = said.identifiers[0]
            party.data_subject = _data_subject(
                delivery=delivery, keyring=keyring, kind=kind, value=value
            )
        details = {"name": said.name, "identifiers": said.identifiers}
        party.sealed_details = encrypt_bytes(
            orjson.dumps(details), key=delivery.content_key, associated_data=party.id.bytes
        )
        parties.append(party)
    return Party.objects.bulk_create(parties)


def _data_subject(*, delivery: Delivery, keyring: Keyring, kind: str, value: str) -> DataSubject:
    subject, _ = DataSubject.objects.get_or_create(
        controller=delivery.source.controller,
        identifier_hash=hashing.identifier_hash(
            keyring=keyring,
            controller_id=delivery.source.controller_id,
            kind=kind,
            value=value,
        ),
        defaults={"id": uuid4()},
    )
    return subject


def _write_segments(*, delivery: Delivery, places: Places, parties: list[Party]) -> None:
    incoming = delivery.incoming
    segments = [
        Segment(
            conversation_id=delivery.conversation_id,
            from_at=said.from_at,
            until_at=said.until_at,
            team=places.teams[said.team] if said.team else delivery.source.default_team,
            queue=places.queues[said.queue] if said.queue else None,
            agent=parties[said.agent] if said.agent is not None else None,
        )
        for said in incoming.segments
    ]
    if not segments:
        agents = [party for party in parties if party.role == Party.Role.AGENT]
        segments = [
            Segment(
                conversation_id=delivery.conversation_id,
                from_at=incoming.started_at,
                until_at=incoming.ended_at,
                team=delivery.source.default_team,
                agent=agents[0] if len(agents) == 1 else None,
            )
        ]
    Segment.objects.bulk_create(segments)


def _write_references(*, delivery: Delivery, keyring: Keyring) -> None:
    BusinessReference.objects.bulk_create(
        (
            BusinessReference(
                conversation_id=delivery.conversation_id,
                kind=kind,
                reference_hash=hashing.reference_hash(
                    keyring=keyring,
                    controller_id=delivery.source.controller_id,
                    kind=kind,
                    value=value,
                ),
            )
            for kind, value in delivery.incoming.references
        ),
        # The same number, written twice.
        ignore_conflicts=True,
    )


def _write_dialog(*, delivery: Delivery, position: int, stored: StoredDialog) -> None:
    file, examined = stored.file, stored.examined
    stored_object = _write_object(delivery=delivery, sealed=stored.sealed)
    dialog = Dialog(
        id=stored.id,
        conversation_id=delivery.conversation_id,
        position=position,
        content_hash=stored.content_hash,
        stored_object=stored_object,
    )
    if file is None or examined is None:
        dialog.kind = Dialog.Kind.TEXT
        dialog.mediatype = CHAT_MEDIATYPE
        dialog.started_at = delivery.incoming.messages[0].at
        dialog.save(force_insert=True)
        return
    dialog.kind = Dialog.Kind.RECORDING
    dialog.mediatype = examined.mediatype
    dialog.started_at = file.started_at
    dialog.duration_seconds = examined.duration_seconds
    dialog.codec = examined.codec
    dialog.sample_rate = examined.sample_rate
    dialog.channels = examined.channels
    if len(file.channel_roles) == examined.channels:
        dialog.channel_roles = list(file.channel_roles)
    dialog.sealed_name = encrypt_bytes(
        file.name.encode(), key=delivery.content_key, associated_data=dialog.id.bytes
    )
    dialog.save(force_insert=True)
    peaks = Rendition(
        dialog=dialog, kind=Rendition.Kind.PEAKS, mediatype="application/octet-stream"
    )
    peaks.sealed_body = encrypt_bytes(
        examined.peaks, key=delivery.content_key, associated_data=peaks.id.bytes
    )
    peaks.save(force_insert=True)
    if stored.rendition is not None and stored.rendition_id is not None:
        Rendition.objects.create(
            id=stored.rendition_id,
            dialog=dialog,
            kind=Rendition.Kind.PLAYABLE,
            mediatype=examined.playable_mediatype or "",
            stored_object=_write_object(delivery=delivery, sealed=stored.rendition),
        )


def _write_object(*, delivery: Delivery, sealed: Sealed) -> StoredObject:
    return StoredObject.objects.create(
        conversation_id=delivery.conversation_id,
        key=sealed.key,
        version_id=sealed.version_id,
        plain_size_bytes=sealed.plain_size_bytes,
        stored_size_bytes=sealed.stored_size_bytes,
        ciphertext_sha256=sealed.ciphertext_sha256,
        stream_header=sealed.stream_header,
    )
