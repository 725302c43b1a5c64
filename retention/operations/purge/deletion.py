"""Deletes every version of every object of a batch, and asks the store whether they are gone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import Q

from recordings.models import Conversation, StoredObject
from recordings.objectstore import ObjectHeld, ObjectStore, StoreError, Version
from retention.models import Destruction
from retention.operations.purge.leases import Batch, Clock
from retention.operations.purge.steps import note_strays

# Keys are folder/conversation/object; no part of one begins with a tilde, and all sort before it.
AFTER_EVERY_KEY = "~"


class OthersVanished(Exception):
    """The store removed objects of conversations that are kept, which nobody asked it to."""

    def __init__(self, versions: Sequence[Version]) -> None:
        super().__init__(
            "The object store removed objects of conversations that are kept. The purge has "
            "stopped; restore them from the store's replica before it runs again."
        )
        self.versions = versions


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the store says after deleting: whose objects are gone, and what is left of others."""

    gone: list[UUID]
    remaining: dict[UUID, str]
    deleted_at: datetime
    confirmed_at: datetime


@dataclass(slots=True)
class _Listing:
    """What lies between the first and the last key of a batch: its own versions, and the rest."""

    own: dict[UUID, list[Version]] = field(default_factory=lambda: defaultdict(list))
    others: set[Version] = field(default_factory=set)


def delete_and_confirm(*, batch: Batch, store: ObjectStore, clock: Clock) -> Confirmation:
    """
    Delete all versions of the batch's objects, strays and delete markers too, and list again.

    Only what a listing no longer shows counts as gone, whatever the store answered. What lay
    between them and belongs to others is compared too: had the store removed more than it was
    asked, as it has in the past (SeaweedFS #1806, #6379), it is noticed here.

    Raises:
        OthersVanished: stop everything.
        StoreUnavailable, StoreRefused: nothing is known; try again later.
    """
    rows = list(batch.rows().exclude(ledger_key=""))
    known = _known_versions([row.conversation_id for row in rows])
    folders = _folders(rows, known)
    before = _list(store, folders)
    strays = {
        conversation_id: [version for version in found if version not in known[conversation_id]]
        for conversation_id, found in before.own.items()
    }
    if any(strays.values()):
        note_strays(
            batch=batch,
            strays=strays,
            now=clock(),
        )
    versions = {version for found in before.own.values() for version in found}
    versions.update(version for found in known.values() for version in found)
    failures = store.delete_versions(sorted(versions))
    deleted_at = clock()
    after = _list(store, folders)
    _check_others(before.others - after.others)
    remaining = {pk: _sentence(found, failures) for pk, found in after.own.items() if found}
    return Confirmation(
        gone=[row.conversation_id for row in rows if row.conversation_id not in remaining],
        remaining=remaining,
        deleted_at=deleted_at,
        confirmed_at=clock(),
    )


def _known_versions(conversation_ids: Sequence[UUID]) -> dict[UUID, set[Version]]:
    known: dict[UUID, set[Version]] = defaultdict(set)
    stored = StoredObject.objects.filter(conversation__in=conversation_ids).order_by()
    for pk, key, version_id in stored.values_list("conversation_id", "key", "version_id"):
        known[pk].add(Version(key, version_id))
    return known


def _folders(
    rows: Iterable[Destruction], known: dict[UUID, set[Version]]
) -> dict[str, dict[str, UUID]]:
    """For each day's folder, the batch's conversations in it, by the name of their own folder."""
    folders: dict[str, dict[str, UUID]] = defaultdict(dict)
    for row in rows:
        days = {key.rsplit("/", 2)[0] for key, _ in known[row.conversation_id]}
        days.add(f"{row.ended_at.astimezone(UTC):%Y/%m/%d}")
        for day in days:
            folders[day][str(row.conversation_id)] = row.conversation_id
    return folders


def _list(store: ObjectStore, folders: dict[str, dict[str, UUID]]) -> _Listing:
    listing = _Listing()
    for day, conversations in sorted(folders.items()):
        listed = store.list_versions(
            prefix=f"{day}/",
            from_key=f"{day}/{min(conversations)}/",
            until_key=f"{day}/{max(conversations)}/{AFTER_EVERY_KEY}",
        )
        for found in listed:
            version = Version(found.key, found.version_id)
            folder, _, _ = found.key.removeprefix(f"{day}/").partition("/")
            owner = conversations.get(folder)
            if owner is None:
                listing.others.add(version)
            else:
                listing.own[owner].append(version)
    return listing


def _check_others(vanished: set[Version]) -> None:
    """Alarm if what vanished was kept; what another purge run removed meanwhile was not."""
    if not vanished:
        return
    by_key = Q(key__in=[key for key, _ in vanished])
    kept = StoredObject.objects.filter(by_key, conversation__state=Conversation.State.KEPT)
    lost = [
        Version(key, version_id)
        for key, version_id in kept.values_list("key", "version_id")
        if Version(key, version_id) in vanished
    ]
    if lost:
        raise OthersVanished(lost)


def _sentence(left: Sequence[Version], failures: dict[Version, StoreError]) -> str:
    held = sum(isinstance(failures.get(version), ObjectHeld) for version in left)
    if held:
        return f"The store protects {held} of the {len(left)} object versions left."
    return f"{len(left)} object versions are still in the store."
