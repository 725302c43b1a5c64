"""The S3 store that holds content, spoken to as one identity at a time."""

from recordings.objectstore.anchor import anchor_reader, anchor_writer
from recordings.objectstore.errors import (
    ObjectExists,
    ObjectHeld,
    ObjectMissing,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from recordings.objectstore.exports import StoreReceiver
from recordings.objectstore.identity import Identity
from recordings.objectstore.keys import content_key, quarantine_key
from recordings.objectstore.reading import OpenedRange
from recordings.objectstore.store import ListedVersion, ObjectStore, Version

__all__ = [
    "Identity",
    "ListedVersion",
    "ObjectExists",
    "ObjectHeld",
    "ObjectMissing",
    "ObjectStore",
    "OpenedRange",
    "StoreError",
    "StoreReceiver",
    "StoreRefused",
    "StoreUnavailable",
    "Version",
    "anchor_reader",
    "anchor_writer",
    "content_key",
    "quarantine_key",
]
