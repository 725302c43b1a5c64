"""What tests of the audit log have happen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import connection
from django.db.models import QuerySet

from audit import clock
from audit.events import Actor, EventType, NewEvent, Target
from audit.models import Event
from audit.operations import append_alone

SEALED_TABLES = ("cosignature", "time_stamp", "anchor", "checkpoint", "leaf", "node", "origin")
ALICE = Actor.user(UUID("a11ce000-0000-4000-8000-000000000001"), role="coach")


def played(**members: Any) -> dict[str, Any]:
    """The members of an event: Alice has listened to a recording."""
    return {
        "event_type": EventType.DIALOG_PLAYED,
        "actor": ALICE,
        "now": members.pop("now", None) or clock.now(),
        "log": None,
        "target": Target("dialog", str(uuid4())),
        "conversation": uuid4(),
        "purpose": "coaching",
        "basis": f"team_permission:{uuid4()}",
        "facts": {"first_byte": 0, "last_byte": 1023},
        **members,
    }


def signed_in(**members: Any) -> dict[str, Any]:
    """The members of an event that speaks of no conversation: Alice has signed in."""
    return {
        "event_type": EventType.SESSION_SIGNED_IN,
        "actor": ALICE,
        "now": members.pop("now", None) or clock.now(),
        "log": None,
        **members,
    }


def happened(members: Mapping[str, Any]) -> Event:
    """Append the event and give its row."""
    event_id = append_alone(**members)
    return Event.objects.get(event_id=event_id)


def events(event_type: EventType) -> QuerySet[Event]:
    """Give the events of a type."""
    return Event.objects.filter(event_type=event_type)


def new(members: Mapping[str, Any]) -> NewEvent:
    """The same, not yet appended."""
    return NewEvent(**members)


def insert(log: str, about_conversation: bool, body: str) -> None:
    """Insert as whoever holds the application's login could, past the application."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_event (log, about_conversation, body) VALUES (%s, %s, %s)",
            [log, about_conversation, body],
        )


def run(statement: str) -> None:
    """Run SQL as the role acted as."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


def rows(statement: str) -> list[tuple[Any, ...]]:
    """Run SQL and give what it answers."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def at_minute(minute: int, *, year: int = 2026, month: int = 5) -> datetime:
    """A time in the past, for events to have happened at."""
    return clock.now().replace(
        year=year, month=month, day=10, hour=12, minute=minute, second=0, microsecond=0
    )


def go_back_to(size: int) -> None:
    """Bring the tables back to an earlier size, as a restored backup does."""
    for table in SEALED_TABLES:
        run(f"ALTER TABLE audit_{table} DISABLE TRIGGER USER")
    for table in ("cosignature", "time_stamp", "anchor"):
        run(f"DELETE FROM audit_{table} WHERE size > {size}")
    run(f"DELETE FROM audit_checkpoint WHERE size > {size}")
    run("ALTER TABLE audit_event DISABLE TRIGGER USER")
    run(
        "DELETE FROM audit_event WHERE id IN "
        f"(SELECT event FROM audit_leaf WHERE leaf_index >= {size})"
    )
    run(f"DELETE FROM audit_leaf WHERE leaf_index >= {size}")
    for table in (*SEALED_TABLES, "event"):
        run(f"ALTER TABLE audit_{table} ENABLE TRIGGER USER")
