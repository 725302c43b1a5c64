"""Deletes every version of every object of a batch, and asks the store whether they are gone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from recordings.models import Conversation, StoredObject, among
from recordings.objectstore import (
    ObjectHeld,
    ObjectMissing,
    ObjectStore,
    StoreError,
    StoreRefused,
    Version,
)
from retention.operations.purge.leases import Batch

# Keys are folder/conversation/object, all of letters, digits and hyphens; these sort after all.
AFTER_EVERY_KEY = "~"
AFTER_EVERY_HEX = "g"
# So many neighbors are asked for one by one; of more, all that lies there is listed.
FEW = 20


class OthersVanished(Exception):
    """The store removed objects of conversations that are kept, which nobody asked it to."""

    def __init__(self, versions: Sequence[Version]) -> None:
        super().__init__(
            "The object store removed objects of conversations that are kept. The purge has "
            "stopped; restore them from the store's replica before it runs again."
        )
        self.versions = versions


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What is to be deleted, as the rows know it: asked of the database, carried out without it.

    `folders` holds for each day's folder the batch's conversations in it, by the name of their
    own folder; `neighbors` what is kept between them.
    """

    conversation_ids: list[UUID]
    known: Mapping[UUID, set[Version]]
    folders: Mapping[str, Mapping[str, UUID]]
    neighbors: set[Version]


@dataclass(slots=True)
class Answer:
    """
    What the store says after deleting: what is left of the batch, and which neighbors are gone.

    `left` are versions still listed, `failures` why the store did not take some of them,
    `locked_until` when the retention date of the last of a conversation's is over.
    """

    left: dict[UUID, list[Version]]
    failures: dict[Version, StoreError]
    vanished: set[Version]
    locked_until: dict[UUID, datetime]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Whose objects are gone, and what is left of others."""

    gone: list[UUID]
    remaining: dict[UUID, str]
    locked_until: dict[UUID, datetime]
    deleted_at: datetime
    confirmed_at: datetime


@dataclass(slots=True)
class _Listing:
    """What lies between the first and the last key of a batch: its own versions, and the rest."""

    own: dict[UUID, list[Version]] = field(default_factory=lambda: defaultdict(list))
    others: set[Version] = field(default_factory=set)


def plan_of(batch: Batch) -> Plan:
    """Read what is to be deleted of a batch: of those whose ledger is written."""
    written = batch.rows().exclude(ledger_key="")
    ended_at = dict(written.values_list("conversation_id", "ended_at"))
    known = _known_versions(list(ended_at))
    folders = _folders(ended_at, known)
    return Plan(
        conversation_ids=list(ended_at),
        known=known,
        folders=folders,
        neighbors=_neighbors(folders),
    )


def delete(plan: Plan, *, store: ObjectStore) -> Answer:
    """
    Delete the versions that rows know of, and list what is left. Asks nothing of the database.

    Only what a listing no longer shows counts as gone, whatever the store answered. What is kept
    between them and belongs to others is looked for before and after: had the store removed more
    than it was asked, as it has in the past (SeaweedFS #1806, #6379), it is noticed here.

    Raises StoreUnavailable, StoreRefused: nothing is known; try again later.
    """
    stood = _standing(plan, store)
    versions = {version for found in plan.known.values() for version in found}
    failures = store.delete_versions(sorted(versions))
    after = _list(store, plan.folders)
    return Answer(
        after.own, failures, stood - after.others, _locked_until(after.own, failures, store)
    )


def delete_strays(
    strays: Mapping[UUID, Sequence[Version]], *, plan: Plan, store: ObjectStore
) -> Answer:
    """
    Delete versions and delete markers that no row knew of, and list again.

    They are left by captures whose answer was lost. Raises StoreUnavailable, StoreRefused.
    """
    stood = _standing(plan, store)
    failures = store.delete_versions(sorted(v for found in strays.values() for v in found))
    after = _list(store, plan.folders)
    return Answer(
        after.own, failures, stood - after.others, _locked_until(after.own, failures, store)
    )


def strays_of(plan: Plan, answer: Answer) -> dict[UUID, list[Version]]:
    """Name what is left that no row knew of."""
    strays = {
        pk: [version for version in left if version not in plan.known[pk]]
        for pk, left in answer.left.items()
    }
    return {pk: found for pk, found in strays.items() if found}


def check_others(answer: Answer) -> None:
    """
    Alarm if what vanished was kept; what another purge run removed meanwhile was not.

    Raises OthersVanished: stop everything.
    """
    if not answer.vanished:
        return
    kept = StoredObject.objects.filter(
        key__in=[key for key, _ in answer.vanished], conversation__state=Conversation.State.KEPT
    )
    lost = [
        Version(key, version_id)
        for key, version_id in kept.values_list("key", "version_id")
        if Version(key, version_id) in answer.vanished
    ]
    if lost:
        raise OthersVanished(lost)


def confirmation(
    plan: Plan, answer: Answer, *, deleted_at: datetime, confirmed_at: datetime
) -> Confirmation:
    """Say whose objects are gone, and in a sentence what is left of the others."""
    remaining = {pk: _sentence(left, answer.failures) for pk, left in answer.left.items() if left}
    return Confirmation(
        gone=[pk for pk in plan.conversation_ids if pk not in remaining],
        remaining=remaining,
        locked_until=answer.locked_until,
        deleted_at=deleted_at,
        confirmed_at=confirmed_at,
    )


def _known_versions(conversation_ids: Sequence[UUID]) -> dict[UUID, set[Version]]:
    known: dict[UUID, set[Version]] = defaultdict(set)
    stored = StoredObject.objects.filter(among("conversation_id", conversation_ids)).order_by()
    for pk, key, version_id in stored.values_list("conversation_id", "key", "version_id"):
        known[pk].add(Version(key, version_id))
    return known


def _folders(
    ended_at: Mapping[UUID, datetime], known: dict[UUID, set[Version]]
) -> dict[str, dict[str, UUID]]:
    folders: dict[str, dict[str, UUID]] = defaultdict(dict)
    for pk, ended in ended_at.items():
        days = {key.rsplit("/", 2)[0] for key, _ in known[pk]}
        days.add(f"{ended.astimezone(UTC):%Y/%m/%d}")
        for day in days:
            folders[day][str(pk)] = pk
    return folders


def _neighbors(folders: Mapping[str, Mapping[str, UUID]]) -> set[Version]:
    """Find the versions of what is kept between the first and the last key of each folder."""
    neighbors: set[Version] = set()
    for day, conversations in folders.items():
        between = StoredObject.objects.filter(
            key__gte=f"{day}/{min(conversations)}/",
            key__lte=f"{day}/{max(conversations)}/{AFTER_EVERY_HEX}",
            conversation__state=Conversation.State.KEPT,
        )
        neighbors.update(
            Version(key, version_id)
            for key, version_id in between.order_by().values_list("key", "version_id")
        )
    return neighbors


def _standing(plan: Plan, store: ObjectStore) -> set[Version]:
    """Ask the store which of the neighbors it has; whole days end together, and few have any."""
    if len(plan.neighbors) > FEW:
        return plan.neighbors & _list(store, plan.folders).others
    return {
        Version(found.key, found.version_id)
        for folder in {key.rpartition("/")[0] for key, _ in plan.neighbors}
        for found in store.list_versions(prefix=f"{folder}/")
    } & plan.neighbors


def _list(store: ObjectStore, folders: Mapping[str, Mapping[str, UUID]]) -> _Listing:
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


def _locked_until(
    left: Mapping[UUID, Sequence[Version]], failures: dict[Version, StoreError], store: ObjectStore
) -> dict[UUID, datetime]:
    """Ask until when what the store protects is locked: trying again before is in vain."""
    locked: dict[UUID, datetime] = {}
    for pk, versions in left.items():
        for version in versions:
            if not isinstance(failures.get(version), ObjectHeld):
                continue
            try:
                until = store.locked_until(*version)
            except (ObjectMissing, StoreRefused):
                # Without that right it is tried like anything else that stays.
                continue
            if until is not None:
                locked[pk] = max(until, locked.get(pk, until))
    return locked


def _sentence(left: Sequence[Version], failures: dict[Version, StoreError]) -> str:
    held = sum(isinstance(failures.get(version), ObjectHeld) for version in left)
    if held:
        return f"The store protects {held} of the {len(left)} object versions left."
    return f"{len(left)} object versions are still in the store."
