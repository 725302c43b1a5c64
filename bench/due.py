"""Conversations that are due, by the thousand: an object of 20 kB each, and rows by SQL."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from uuid_utils.compat import uuid7

from audit import clock
from bench.centre import Centre
from recordings.models import Conversation
from recordings.objectstore import content_key

OBJECT_BYTES = 20_000
PUTTERS = 8
A_DAY = 2_740

# Rows as capture leaves them: two parties, a segment, a use, a dialog with its peaks.
ROWS = """
CREATE TEMPORARY TABLE drawn ON COMMIT DROP AS
SELECT n, id, part, key, version_id, stored, gen_random_uuid() AS agent,
       to_date(left(key, 10), 'YYYY/MM/DD')::timestamp AT TIME ZONE 'UTC'
           + interval '30 seconds' * (n %% %(a_day)s) AS started_at
FROM unnest(%(ids)s::uuid[], %(parts)s::uuid[], %(keys)s::text[], %(versions)s::text[],
            %(stored)s::uuid[]) WITH ORDINALITY AS given (id, part, key, version_id, stored, n);

INSERT INTO recordings_conversation (
    id, controller_id, source_id, external_id, external_id_hash, content_hash, kind, direction,
    started_at, ended_at, duration_seconds, message_count, language, tags, notice, informed_by,
    captured_at, state, destroy_after, hold_count, open_requests, kek_name, wrapped_key)
SELECT id, %(controller)s, %(source)s, 'call-' || id, sha256(id::text::bytea),
       sha256(('content' || id)::bytea), 'call', 'inbound',
       started_at, started_at + interval '3 minutes', 180, 0, 'fi', '[]', '', '',
       started_at, 'kept', started_at + interval '13 months', 0, 0, %(kek)s,
       sha256(id::text::bytea)
FROM drawn ORDER BY started_at;

INSERT INTO recordings_party (id, conversation_id, position, role, sealed_details)
SELECT CASE position WHEN 0 THEN agent ELSE gen_random_uuid() END, id, position,
       CASE position WHEN 0 THEN 'agent' ELSE 'customer' END,
       sha256(id::text::bytea)
FROM drawn, generate_series(0, 1) AS position ORDER BY n;

INSERT INTO recordings_segment (id, conversation_id, from_at, until_at, team_id, agent_id)
SELECT gen_random_uuid(), id, started_at, started_at + interval '3 minutes', %(team)s, agent
FROM drawn ORDER BY n;

INSERT INTO recordings_permitteduse (
    id, conversation_id, purpose_id, from_at, until_at, authority_kind, authority)
SELECT gen_random_uuid(), id, %(purpose)s, started_at, started_at + interval '13 months',
       'rule', %(rule)s
FROM drawn ORDER BY n;

INSERT INTO recordings_storedobject (
    id, conversation_id, key, version_id, plain_size_bytes, stored_size_bytes, ciphertext_sha256,
    stream_header, legal_hold)
SELECT stored, id, key, version_id, %(size)s, %(size)s, %(digest)s, '\\x00', false
FROM drawn ORDER BY n;

INSERT INTO recordings_dialog (
    id, conversation_id, position, kind, started_at, mediatype, codec, channel_roles, sealed_name,
    content_hash, stored_object_id)
SELECT part, id, 0, 'recording', started_at, 'audio/ogg', 'opus', '[]', sha256('name'),
       sha256(part::text::bytea), stored
FROM drawn ORDER BY n;

INSERT INTO recordings_rendition (id, dialog_id, kind, mediatype, sealed_body)
SELECT gen_random_uuid(), part, 'peaks', 'application/octet-stream', sha256('peaks')
FROM drawn ORDER BY n;
"""
# What autovacuum would have analyzed between two runs.
TABLES = (
    *("recordings_conversation", "recordings_party", "recordings_segment"),
    *("recordings_permitteduse", "recordings_storedobject", "recordings_dialog"),
    *("recordings_rendition", "retention_destruction", "audit_event", "audit_leaf"),
)


@dataclass(frozen=True, slots=True)
class Due:
    """The conversations made, each with the key and the version of its one object."""

    ids: list[UUID]
    objects: list[tuple[str, str]]


def put_objects(centre: Centre, count: int) -> Due:
    """Put so many objects, some thousand a day, under keys as capture makes them; no rows."""
    s3, bucket = centre.stage.servers.s3("content"), settings.S3_CONTENT_BUCKET
    first = (clock.now() - timedelta(days=500)).date()
    body = os.urandom(OBJECT_BYTES)
    ids = [uuid7() for _ in range(count)]
    keys = [
        content_key(
            ended_on=first - timedelta(days=number // A_DAY),
            conversation_id=pk,
            part_id=uuid7(),
        )
        for number, pk in enumerate(ids)
    ]

    def put(key: str) -> str:
        return s3.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]

    with ThreadPoolExecutor(PUTTERS) as putters:
        versions = list(putters.map(put, keys))
    return Due(ids, list(zip(keys, versions, strict=True)))


def make_due(centre: Centre, count: int, *, objects: Due | None = None) -> Due:
    """Make so many conversations that are due, oldest end last, and have them analyzed."""
    due = objects or put_objects(centre, count)
    values: dict[str, Any] = {
        "a_day": A_DAY,
        "ids": due.ids,
        "parts": [UUID(key.rsplit("/", 1)[1]) for key, _ in due.objects],
        "keys": [key for key, _ in due.objects],
        "versions": [version for _, version in due.objects],
        "stored": [uuid7() for _ in due.ids],
        "controller": centre.controller.pk,
        "source": centre.source.pk,
        "team": centre.teams[0].pk,
        "purpose": centre.coaching.pk,
        "rule": centre.rule_version,
        "size": OBJECT_BYTES,
        "digest": hashlib.sha256(b"").digest(),
        "kek": "kek/bench/open",
    }
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in ROWS.split(";\n"):
            if statement.strip():
                used = {name: value for name, value in values.items() if f"%({name})s" in statement}
                cursor.execute(statement, used)
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"VACUUM (ANALYZE) {table}")
    return due


def require_gone(due: Due) -> None:
    """Raises: WrongAnswer unless each of them is destroyed."""
    from bench.measuring import require_same

    found = Conversation.objects.filter(pk__in=due.ids, state=Conversation.State.DESTROYED)
    require_same(found.count(), len(due.ids), "Conversations destroyed")


def left_in_store(centre: Centre, keys: Sequence[str]) -> int:
    """Count the versions and delete markers that lie under these keys' days."""
    s3, bucket = centre.stage.servers.s3("purge"), settings.S3_CONTENT_BUCKET
    wanted, left = set(keys), 0
    for day in {key[:11] for key in keys}:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=day):
            for found in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                left += found["Key"] in wanted
    return left
