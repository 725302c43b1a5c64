"""Keeps a change of rules and the captures of the same company from passing each other unseen."""

from __future__ import annotations

from uuid import UUID

from django.db import connection

# Our advisory locks in PostgreSQL, in the space of two keys: this one, and part of a controller's.
_LOCK = 0x5255


def change_alone(controller_id: UUID) -> None:
    """
    Wait for captures that are being covered, and hold later ones back until the commit.

    So every conversation is covered by the new rules, or is there when all are covered anew.
    """
    _take("pg_advisory_xact_lock", controller_id)


def wait_for_change(controller_id: UUID) -> None:
    """Wait for a change of the rules under way; captures do not wait for each other."""
    _take("pg_advisory_xact_lock_shared", controller_id)


def _take(function: str, controller_id: UUID) -> None:
    part = int.from_bytes(controller_id.bytes[-4:], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s, %s)", [_LOCK, part])
