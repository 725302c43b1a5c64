"""Conversations, people and matters for the tests of holds and purges."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection
from uuid_utils.compat import uuid7

from accounts.models import (
    Controller,
    Purpose,
    RoleAssignment,
    Source,
    Team,
    Undertaking,
    UndertakingText,
    User,
)
from accounts.roles import Role
from audit import clock
from recordings.encryption import encrypt_bytes, generate_key
from recordings.keyring import Keyring
from recordings.models import (
    BusinessReference,
    Conversation,
    DataSubject,
    Dialog,
    Party,
    PermittedUse,
    Rendition,
    Segment,
    StoredObject,
)
from recordings.objectstore import ObjectStore, content_key
from recordings.operations.uses import kek_name_for
from retention.models import Matter, Recomputation
from retention.operations.timetable import note_end

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR_OFF = datetime(2100, 1, 1, tzinfo=UTC)


def nothing_late() -> None:
    """Every task of the timetable was done just now, and so was all that others wait for."""
    now = clock.now()
    for task in {str(entry["task"]) for entry in settings.CELERY_BEAT_SCHEDULE.values()}:
        note_end(task=task, now=now)
    Recomputation.objects.open().update(finished_at=now)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_unsealed")


def a_controller(name: str = "Sampo") -> Controller:
    """A company whose rules are released."""
    slug = f"{name.lower()}-{uuid4().hex[:8]}"
    return Controller.objects.create(name=name, slug=slug, rules_released_at=LONG_AGO)


def a_source(controller: Controller) -> Source:
    """A phone system that is released."""
    slug = f"pbx-{uuid4().hex[:8]}"
    return Source.objects.create(slug=slug, name="PBX", controller=controller, released_at=LONG_AGO)


def a_purpose(code: str) -> Purpose:
    """A purpose, made once."""
    names = {"name_fi": code, "name_sv": code, "name_en": code}
    return Purpose.objects.get_or_create(code=code, defaults=names)[0]


def a_user(name: str, *roles: Role, controller: Controller | None = None) -> User:
    """A person with these roles and a current undertaking."""
    user = User.objects.create_user(
        email=f"{name.lower()}-{uuid4().hex[:8]}@example.test", full_name=name
    )
    for role in roles:
        RoleAssignment.objects.create(
            user=user, role=role, controller=controller, from_at=LONG_AGO, until_at=FAR_OFF
        )
    text, _ = UndertakingText.objects.get_or_create(
        version=1,
        defaults={"text_fi": "x", "text_sv": "x", "text_en": "x", "in_force_from": LONG_AGO},
    )
    Undertaking.objects.create(user=user, text=text, from_at=LONG_AGO, until_at=FAR_OFF)
    return user


def a_matter(controller: Controller, *, opened_by: User | None = None) -> Matter:
    """An open matter."""
    return Matter.objects.create(
        controller=controller,
        code=f"m-{uuid4().hex[:8]}",
        name="A dispute",
        reason="The customer disputes the decision.",
        opened_at=LONG_AGO,
        opened_by=opened_by,
        review_at=FAR_OFF,
    )


def a_conversation(
    source: Source,
    *,
    store: ObjectStore,
    keyring: Keyring,
    now: datetime,
    ended_at: datetime | None = None,
    destroy_after: datetime | None = None,
    body: bytes = b"spoken words",
) -> Conversation:
    """A captured call with a dialog, a playable rendition, peaks, two parties and a use; due."""
    ended_at = ended_at or now - timedelta(days=200)
    key = generate_key()
    conversation = Conversation(
        controller=source.controller,
        source=source,
        external_id=f"+358401234567-{uuid4()}",
        external_id_hash=os.urandom(32),
        content_hash=os.urandom(32),
        kind="call",
        started_at=ended_at - timedelta(minutes=3),
        ended_at=ended_at,
        duration_seconds=180,
        outcome="resolved",
        tags=["complaint"],
        captured_at=ended_at,
        destroy_after=destroy_after or now - timedelta(seconds=1),
    )
    conversation.kek_name = kek_name_for(conversation)
    conversation.wrapped_key = keyring.wrap(
        kek_name=conversation.kek_name, content_key=key, context=conversation.pk.bytes
    )
    conversation.save(force_insert=True)
    BusinessReference.objects.create(
        conversation=conversation, kind="claim", reference_hash=os.urandom(32)
    )
    _write_people(conversation, key)
    _write_content(conversation, key, store=store, body=body)
    PermittedUse.objects.create(
        conversation=conversation,
        purpose=a_purpose("coaching"),
        from_at=ended_at,
        until_at=max(destroy_after or now, ended_at + timedelta(seconds=1)),
        authority_kind="rule",
        authority=uuid7(),
    )
    return conversation


def _write_people(conversation: Conversation, key: bytes) -> None:
    subject = DataSubject.objects.create(
        id=uuid4(), controller=conversation.controller, identifier_hash=os.urandom(32)
    )
    agent, customer = (
        Party(conversation=conversation, position=position, role=role)
        for position, role in enumerate(("agent", "customer"))
    )
    customer.data_subject = subject
    for party in (agent, customer):
        party.sealed_details = encrypt_bytes(b"{}", key=key, associated_data=party.pk.bytes)
        party.save(force_insert=True)
    team, _ = Team.objects.get_or_create(
        slug="claims", defaults={"name": "Claims", "employer": conversation.controller}
    )
    Segment.objects.create(
        conversation=conversation,
        from_at=conversation.started_at,
        until_at=conversation.ended_at,
        team=team,
        agent=agent,
    )


def _write_content(
    conversation: Conversation, key: bytes, *, store: ObjectStore, body: bytes
) -> None:
    dialog_id, playable_id = uuid7(), uuid7()
    dialog = Dialog.objects.create(
        id=dialog_id,
        conversation=conversation,
        position=0,
        kind="recording",
        started_at=conversation.started_at,
        mediatype="audio/x-wav",
        sealed_name=encrypt_bytes(b"a.wav", key=key, associated_data=dialog_id.bytes),
        content_hash=os.urandom(32),
        stored_object=a_stored_object(conversation, key, part_id=dialog_id, store=store, body=body),
    )
    Rendition.objects.create(
        id=playable_id,
        dialog=dialog,
        kind="playable",
        mediatype="audio/ogg",
        stored_object=a_stored_object(
            conversation, key, part_id=playable_id, store=store, body=body
        ),
    )
    peaks_id = uuid7()
    Rendition.objects.create(
        id=peaks_id,
        dialog=dialog,
        kind="peaks",
        mediatype="application/octet-stream",
        sealed_body=encrypt_bytes(b"\x01", key=key, associated_data=peaks_id.bytes),
    )


def a_stored_object(
    conversation: Conversation, key: bytes, *, part_id: UUID, store: ObjectStore, body: bytes
) -> StoredObject:
    """An object that lies in the store and in its row."""
    sealed = encrypt_bytes(body, key=key, associated_data=part_id.bytes)
    place = content_key(
        ended_on=conversation.ended_at.astimezone(UTC).date(),
        conversation_id=conversation.pk,
        part_id=part_id,
    )
    return StoredObject.objects.create(
        conversation=conversation,
        key=place,
        version_id=store.put(place, sealed),
        plain_size_bytes=len(body),
        stored_size_bytes=len(sealed),
        ciphertext_sha256=hashlib.sha256(sealed).digest(),
    )
