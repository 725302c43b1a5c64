"""Keys of objects: nothing personal in them, and none the beginning of another."""

from __future__ import annotations

import re
from datetime import date
from uuid import UUID

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_DAY = "[0-9]{4}/[0-9]{2}/[0-9]{2}"
# SeaweedFS walks folders by name while S3's pages go on by key. Where one name in a folder begins
# another ("x" and "x-playable", "x" and "x.ogg"), it skips versions at the end of a page, and what
# was skipped would be taken for destroyed. Names of one length cannot begin each other.
_KEY = re.compile(rf"{_DAY}/{_UUID}/{_UUID}|quarantine/{_DAY}/{_UUID}", re.ASCII)
# Locked objects are not listed to prove an absence.
_ANCHOR_KEY = re.compile(r"[0-9A-Za-z._-]+(?:/[0-9A-Za-z._-]+)*", re.ASCII)


def content_key(*, ended_on: date, conversation_id: UUID, part_id: UUID) -> str:
    """Key of a dialog or rendition (`part_id`) of a conversation that ended on that day (UTC)."""
    return f"{ended_on:%Y/%m/%d}/{conversation_id}/{part_id}"


def quarantine_key(*, received_on: date, item_id: UUID) -> str:
    """Key of a quarantined item that arrived on that day (UTC)."""
    return f"quarantine/{received_on:%Y/%m/%d}/{item_id}"


def check_key(key: str) -> None:
    """Raises ValueError unless the key is of one of the two kinds made here."""
    if not _KEY.fullmatch(key):
        raise ValueError("A key is made by content_key or quarantine_key.")


def check_anchor_key(key: str) -> None:
    """Raises ValueError unless the key is plain letters, digits and `._-` between slashes."""
    if not _ANCHOR_KEY.fullmatch(key) or ".." in key:
        raise ValueError("The key of a locked object has plain letters, digits and slashes.")
