"""Deletes the rows that describe what a conversation held."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import connection

from recordings.models import uuid_array

# By SQL, since Django would first read what is to go.
_DELETE_PEAKS = """
DELETE FROM recordings_rendition AS rendition USING recordings_dialog AS dialog
WHERE rendition.dialog_id = dialog.id AND dialog.conversation_id = ANY(%s::uuid[])
  AND rendition.stored_object_id IS NULL
"""
# In the order of what names what.
_DELETE_CONTENT = (
    "DELETE FROM recordings_rendition AS rendition USING recordings_dialog AS dialog "
    "WHERE rendition.dialog_id = dialog.id AND dialog.conversation_id = ANY(%s::uuid[])",
    "DELETE FROM recordings_dialog WHERE conversation_id = ANY(%s::uuid[])",
    "DELETE FROM recordings_storedobject WHERE conversation_id = ANY(%s::uuid[])",
    "UPDATE recordings_segment SET agent_id = NULL "
    "WHERE conversation_id = ANY(%s::uuid[]) AND agent_id IS NOT NULL",
    "DELETE FROM recordings_party WHERE conversation_id = ANY(%s::uuid[])",
    "DELETE FROM recordings_businessreference WHERE conversation_id = ANY(%s::uuid[])",
    "DELETE FROM recordings_permitteduse WHERE conversation_id = ANY(%s::uuid[]) "
    "AND only_for_id IS NOT NULL",
)


def delete_peaks(*, conversation_ids: Sequence[UUID]) -> None:
    """Delete the waveform peaks, which lie in the database and are sealed under the content key."""
    with connection.cursor() as cursor:
        cursor.execute(_DELETE_PEAKS, [uuid_array(conversation_ids)])


def delete_all(*, conversation_ids: Sequence[UUID]) -> None:
    """Delete all that goes with the content; what stays is the residual record."""
    with connection.cursor() as cursor:
        for statement in _DELETE_CONTENT:
            cursor.execute(statement, [uuid_array(conversation_ids)])
