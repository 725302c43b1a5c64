"""Remembers where the log is streamed to, how far it has come, and since when it has not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection, transaction

from audit.events import Actor, EventType, Target
from audit.models import Stream, StreamCursor
from audit.operations.events import append
from audit.streaming.destinations import Destination
from audit.streaming.following import Stretch

ACTOR = Actor.system("streamer")
INCIDENT_AFTER = timedelta(minutes=15)
# The first of the two numbers of our advisory lock in PostgreSQL; the second is the destination's.
STREAMING = 0x5354


@transaction.atomic
def direct(*, destinations: Sequence[Destination], now: datetime) -> None:
    """
    Stream to these destinations from now on and to no others; the log says what changed.

    A destination's name decides where it goes on: a new name begins with the first event.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [STREAMING])
    known = {stream.destination: stream for stream in Stream.objects.filter(ended_at=None)}
    for to in destinations:
        stream = known.pop(to.name, None)
        if stream is None or stream.address != to.address:
            Stream.objects.update_or_create(
                destination=to.name,
                defaults={"address": to.address, "directed_at": now, "ended_at": None},
            )
            # An address may be long or hold numbers, as codes may not: its digest can be compared.
            digest = hashlib.sha256(to.address.encode()).hexdigest()
            facts = {"kind": to.scheme.partition("+")[0], "digest": digest}
            _say(EventType.STREAM_DIRECTED, to.name, facts, now)
    for name, stream in known.items():
        stream.ended_at = now
        stream.save(update_fields=["ended_at"])
        _say(EventType.STREAM_ENDED, name, {}, now)


def be_alone(*, destination: str) -> bool:
    """Become the one who streams to it until the database connection ends; False: another is."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", [STREAMING, destination])
        return bool(cursor.fetchone()[0])


def positions(*, destination: str) -> dict[str, int]:
    """Give the first leaf of each log that has not arrived; a log that is not named: none has."""
    cursors = StreamCursor.objects.filter(stream=destination)
    return dict(cursors.values_list("log", "next_index"))


@transaction.atomic
def move_cursor(*, destination: str, arrived: Stretch, now: datetime) -> None:
    """
    Remember that a stretch has arrived, and that the destination takes what it is sent.

    Does nothing if the cursor is not where the stretch begins: somebody else has moved it.
    """
    cursors = StreamCursor.objects.select_for_update()
    cursor, _made = cursors.get_or_create(stream_id=destination, log=arrived.log)
    if cursor.next_index != arrived.first:
        return
    cursor.next_index = arrived.until
    cursor.missing += arrived.missing
    cursor.delivered_at = now
    cursor.save(update_fields=["next_index", "missing", "delivered_at"])
    Stream.objects.filter(pk=destination).exclude(failing_since=None).update(
        error=None, failing_since=None, incident_raised_at=None
    )


@transaction.atomic
def note_failure(*, destination: str, error: str, now: datetime) -> None:
    """Remember that the destination took nothing; after a quarter of an hour it is an incident."""
    stream = Stream.objects.select_for_update().get(pk=destination)
    stream.error = error
    stream.failing_since = stream.failing_since or now
    if stream.incident_raised_at is None and now - stream.failing_since >= INCIDENT_AFTER:
        stream.incident_raised_at = now
        facts = {"kind": "stream_failing", "error": error}
        _say(EventType.INCIDENT_RAISED, destination, facts, now)
    stream.save(update_fields=["error", "failing_since", "incident_raised_at"])


def _say(event_type: EventType, name: str, facts: dict[str, str], now: datetime) -> None:
    append(
        event_type=event_type,
        actor=ACTOR,
        now=now,
        log=None,
        target=Target("stream", name),
        facts=facts,
    )
