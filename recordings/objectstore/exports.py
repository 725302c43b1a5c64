"""A bucket that months of the audit log are delivered to; the audit room names it by a setting."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from audit.receiving import NotReceived
from recordings.objectstore.calling import call
from recordings.objectstore.errors import ObjectExists, StoreError, StoreUnavailable
from recordings.objectstore.identity import Identity, client


class StoreReceiver:
    """Puts objects under unused keys and lists them, with an identity that can do nothing else."""

    def __init__(self, *, bucket: str, prefix: str) -> None:
        """Raises NotReceived if this process has no identity for it."""
        try:
            self._s3 = client(Identity.of_bucket(keys="EXPORT", bucket=bucket))
        except StoreError as error:
            raise NotReceived("misconfigured") from error
        self._bucket, self._prefix = bucket, prefix

    def deliver(self, path: Path, name: str) -> str:
        """Do what `audit.receiving.Receiver` promises; one put, which the store makes whole."""
        key = f"{self._prefix}/{name}" if self._prefix else name
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        try:
            put = None
            if self._listed(key) is None:
                put = self._put(path, key, digest.digest())
            found = self._listed(key)
        except StoreUnavailable as error:
            raise NotReceived("unavailable") from error
        except StoreError as error:
            raise NotReceived("refused") from error
        # The store has checked what it was sent. A store that encrypts has tags of its own.
        if found is None or found[0] != path.stat().st_size:
            raise NotReceived("damaged" if put else "occupied")
        if found[1] not in {put, digest.hexdigest()}:
            raise NotReceived("occupied")
        return f"s3://{self._bucket}/{key}"

    def _put(self, path: Path, key: str, digest: bytes) -> str | None:
        """Give the tag of the new object; None if there is one already."""

        def put() -> str:
            with path.open("rb") as body:
                answer = self._s3.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=body,
                    ContentMD5=base64.b64encode(digest).decode(),
                    IfNoneMatch="*",
                )
            return answer["ETag"].strip('"')

        try:
            return call(put)
        except ObjectExists:
            return None

    def _listed(self, key: str) -> tuple[int, str] | None:
        """Give size and tag of an object, without the right to read it."""
        answer = call(lambda: self._s3.list_objects_v2(Bucket=self._bucket, Prefix=key))
        return next(
            (
                (found["Size"], found["ETag"].strip('"'))
                for found in answer.get("Contents", [])
                if found["Key"] == key
            ),
            None,
        )
