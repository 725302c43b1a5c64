"""The deeds of the store: put, read, hold, delete versions, list versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from botocore.exceptions import BotoCoreError, ClientError

from recordings.objectstore import reading, writing
from recordings.objectstore.calling import call
from recordings.objectstore.errors import (
    HoldNeverPlaced,
    ObjectHeld,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    translate,
)
from recordings.objectstore.identity import Identity, client
from recordings.objectstore.keys import check_anchor_key, check_key

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ListObjectVersionsOutputTypeDef

# S3 takes no more in one call.
DELETE_BATCH = 1000
LIST_BATCH = 1000


class Version(NamedTuple):
    """One version of one object."""

    key: str
    version_id: str


class ListedVersion(NamedTuple):
    """One version, or delete marker, as the store lists it."""

    key: str
    version_id: str
    is_delete_marker: bool
    size_bytes: int


class ObjectStore:
    """
    One bucket of the store, used with the rights of one identity.

    Every method raises StoreUnavailable when the store does not answer and StoreRefused when the
    identity may not, or the request is wrong.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._bucket = identity.bucket
        self._s3 = client(identity)

    @classmethod
    def for_content(cls) -> Self:
        """As web and work: may put, read and hold; neither delete nor list."""
        return cls(Identity.from_settings(keys="CONTENT", bucket="CONTENT"))

    @classmethod
    def for_purge(cls) -> Self:
        """As the purge: may delete named versions and list; neither read nor put."""
        return cls(Identity.from_settings(keys="PURGE", bucket="CONTENT"))

    @classmethod
    def for_anchor(cls) -> Self:
        """As the purge's ledger: may put locked objects, nothing else."""
        return cls(Identity.from_settings(keys="ANCHOR", bucket="ANCHOR"))

    @classmethod
    def for_anchor_reading(cls) -> Self:
        """As who checks the anchor: may read and list it."""
        return cls(Identity.from_settings(keys="ANCHOR_READ", bucket="ANCHOR"))

    def put(
        self,
        key: str,
        body: bytes | Iterable[bytes] | writing.Readable,
        *,
        legal_hold: bool = False,
    ) -> str:
        """
        Store a new object, in parts when it is large; returns its version id.

        A lost answer leaves no second version: the key must be unused, and what lies under it
        after a failure is ours only if it is the same to the byte. After StoreUnavailable there
        may be one version that nobody knows of; `reconcile` finds it.

        Raises ObjectExists if there is another object under the key.
        """
        check_key(key)
        options = {"ObjectLockLegalHoldStatus": "ON"} if legal_hold else {}
        return writing.put_new(self._s3, bucket=self._bucket, key=key, body=body, options=options)

    def put_locked(self, key: str, body: bytes, *, retain_until: datetime) -> str:
        """
        Store a new object that nobody can remove before `retain_until`; returns its version id.

        Raises ObjectExists if the key is used, be it by our own earlier attempt: this identity
        may not look.
        """
        check_anchor_key(key)
        if retain_until.tzinfo is None:
            raise ValueError("A time needs its zone.")
        answer = call(
            lambda: self._s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,
                ObjectLockMode="COMPLIANCE",
                ObjectLockRetainUntilDate=retain_until.astimezone(UTC),
                IfNoneMatch="*",
            )
        )
        return writing.version_id_of(answer)

    def get(self, key: str, version_id: str) -> bytes:
        """All stored bytes of a version. Raises ObjectMissing."""
        return self._read(Key=key, VersionId=version_id)

    def get_range(self, key: str, version_id: str, first: int, last: int) -> bytes:
        """Stored bytes `first` to `last`, both included. Raises ObjectMissing."""
        return self._read(Key=key, VersionId=version_id, Range=f"bytes={first}-{last}")

    async def open_range(
        self, key: str, version_id: str, first: int, last: int
    ) -> reading.OpenedRange:
        """
        Begin to read stored bytes `first` to `last`, both included, without blocking.

        Raises ObjectMissing, StoreRefused, StoreUnavailable before any byte; iterating over what
        is returned raises StoreUnavailable if the store stops half-way.
        """
        return await reading.open_range(
            self._identity, key=key, version_id=version_id, first=first, last=last
        )

    def put_legal_hold(self, key: str, version_id: str, *, is_held: bool) -> None:
        """Protect a version against removal, or no longer. Raises ObjectMissing."""
        call(
            lambda: self._s3.put_object_legal_hold(
                Bucket=self._bucket,
                Key=key,
                VersionId=version_id,
                LegalHold={"Status": "ON" if is_held else "OFF"},
            )
        )

    def get_legal_hold(self, key: str, version_id: str) -> bool:
        """Whether a version is protected against removal. Raises ObjectMissing."""
        try:
            answer = call(
                lambda: self._s3.get_object_legal_hold(
                    Bucket=self._bucket, Key=key, VersionId=version_id
                )
            )
        except HoldNeverPlaced:
            return False
        return answer["LegalHold"].get("Status") == "ON"

    def locked_until(self, key: str, version_id: str) -> datetime | None:
        """
        Until when a retention date protects a version; None if none does. Raises ObjectMissing.

        A legal hold is another matter: see `get_legal_hold`.
        """
        try:
            answer = call(
                lambda: self._s3.get_object_retention(
                    Bucket=self._bucket, Key=key, VersionId=version_id
                )
            )
        except HoldNeverPlaced:
            return None
        until = answer["Retention"].get("RetainUntilDate")
        return until.astimezone(UTC) if until is not None else None

    def delete_versions(self, versions: Sequence[tuple[str, str]]) -> dict[Version, StoreError]:
        """
        Remove named versions for ever, 1000 a call; those that are gone already are no failure.

        Returns what could not be removed, with the reason: ObjectHeld, StoreUnavailable or
        StoreRefused. An empty answer is the store's word, not proof: ask `list_versions`.
        """
        asked = [Version(key, version_id) for key, version_id in versions]
        if any(not version_id or version_id == "null" for _, version_id in asked):
            # Without a version id S3 would hide the object under a delete marker instead.
            raise ValueError("Objects are deleted by version id.")
        failures: dict[Version, StoreError] = {}
        for start in range(0, len(asked), DELETE_BATCH):
            failures |= self._delete_batch(asked[start : start + DELETE_BATCH])
        return failures

    def list_versions(
        self, *, prefix: str = "", from_key: str | None = None, until_key: str | None = None
    ) -> Iterator[ListedVersion]:
        """
        Every version and delete marker, in order of keys, from and until keys included.

        Reliable for keys made by `content_key` and `quarantine_key` only; `keys` says why.
        """
        # S3 goes on *after* a marker; without its last letter that lies before the first key.
        markers = {"KeyMarker": from_key[:-1]} if from_key else {}
        while True:
            answer = self._list_page(prefix, markers)
            for found in _listed(answer):
                if until_key is not None and found.key > until_key:
                    return
                if from_key is None or found.key >= from_key:
                    yield found
            if not answer.get("IsTruncated"):
                return
            following = {
                "KeyMarker": answer.get("NextKeyMarker", ""),
                "VersionIdMarker": answer.get("NextVersionIdMarker", ""),
            }
            if following == markers:
                raise StoreUnavailable("The object store does not list to the end.")
            markers = following

    def list_oldest(self, *, prefix: str, from_key: str | None = None) -> Iterator[Version]:
        """
        The oldest version of each object, in order of keys, from a key on.

        A lock does not keep later versions and delete markers from a key: the oldest is what was
        put there first.
        """
        oldest: Version | None = None
        # Of one key the newest version is listed first.
        for found in self.list_versions(prefix=prefix, from_key=from_key):
            if oldest is not None and oldest.key != found.key:
                yield oldest
                oldest = None
            if not found.is_delete_marker:
                oldest = Version(found.key, found.version_id)
        if oldest is not None:
            yield oldest

    def server_date(self) -> datetime:
        """The store's own clock, to the second, from its Date header."""
        try:
            answer: Any = self._s3.head_bucket(Bucket=self._bucket)["ResponseMetadata"]
        except ClientError as error:
            # That this identity may not ask for the bucket does not matter: it is dated as well.
            answer = error.response["ResponseMetadata"]
        except BotoCoreError as error:
            raise translate(error) from error
        date = answer.get("HTTPHeaders", {}).get("date")
        if date is None:
            raise StoreUnavailable("The object store does not say what time it is.")
        return parsedate_to_datetime(date).astimezone(UTC)

    def _read(self, **request: str) -> bytes:
        return call(
            lambda: self._s3.get_object(Bucket=self._bucket, **request)["Body"].read()  # type: ignore[arg-type]
        )

    def _list_page(self, prefix: str, markers: dict[str, str]) -> ListObjectVersionsOutputTypeDef:
        return call(
            lambda: self._s3.list_object_versions(
                Bucket=self._bucket,
                Prefix=prefix,
                MaxKeys=LIST_BATCH,
                **markers,  # type: ignore[arg-type]
            )
        )

    def _delete_batch(self, batch: list[Version]) -> dict[Version, StoreError]:
        # Named versions are never written again, so that deleting them twice is harmless.
        answer = call(
            lambda: self._s3.delete_objects(
                Bucket=self._bucket,
                Delete={
                    "Objects": [{"Key": key, "VersionId": version} for key, version in batch],
                    "Quiet": False,
                },
            )
        )
        deleted = {
            Version(each["Key"], each.get("VersionId", "")) for each in answer.get("Deleted", [])
        }
        refused = {
            Version(each["Key"], each.get("VersionId", "")): each.get("Code", "")
            for each in answer.get("Errors", [])
        }
        return {
            version: _reason(refused.get(version))
            for version in batch
            if version in refused or version not in deleted
        }


def _reason(code: str | None) -> StoreError:
    if code == "AccessDenied":
        return ObjectHeld()
    if code in {None, "InternalError", "SlowDown", "ServiceUnavailable"}:
        return StoreUnavailable()
    return StoreRefused()


def _listed(answer: ListObjectVersionsOutputTypeDef) -> list[ListedVersion]:
    versions = [
        ListedVersion(each["Key"], each["VersionId"], False, each.get("Size", 0))
        for each in answer.get("Versions", [])
    ]
    markers = [
        ListedVersion(each["Key"], each["VersionId"], True, 0)
        for each in answer.get("DeleteMarkers", [])
    ]
    return sorted(versions + markers, key=lambda listed: listed.key)
