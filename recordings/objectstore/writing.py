"""Writes a new object once, whole or in parts, even if the store's answer is lost."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import md5
from typing import TYPE_CHECKING, Any, Protocol

from recordings.objectstore.calling import call
from recordings.objectstore.errors import (
    ObjectExists,
    ObjectMissing,
    StoreError,
    StoreRefused,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Above this an object goes up in parts, of which one is in memory at a time.
PART_BYTES = 8 * 1024 * 1024


class Readable(Protocol):
    """A file open for reading bytes."""

    def read(self, size: int, /) -> bytes: ...


def put_new(
    s3: S3Client,
    *,
    bucket: str,
    key: str,
    body: bytes | Iterable[bytes] | Readable,
    options: dict[str, Any],
) -> str:
    """
    Store a body under an unused key; returns its version id.

    Raises ObjectExists if the key holds anything but this very body.
    """
    # `IfNoneMatch` is what makes a repeated write harmless: it finds the first one in place.
    place: dict[str, Any] = {"Bucket": bucket, "Key": key}
    parts = _parts(body)
    first = next(parts, b"")
    if len(first) < PART_BYTES:
        return _put_whole(s3, first, place, options)
    return _put_parts(s3, _chained(first, parts), place, options)


def version_id_of(answer: Any) -> str:
    """The version id in an answer. Raises StoreRefused if the bucket has no versions."""
    version_id = answer.get("VersionId")
    if not version_id or version_id == "null":
        raise StoreRefused("The bucket is not versioned.")
    return str(version_id)


def _put_whole(s3: S3Client, body: bytes, place: dict[str, Any], options: dict[str, Any]) -> str:
    digest = md5(body, usedforsecurity=False).digest()
    checksum = base64.b64encode(digest).decode()
    try:
        answer = call(
            lambda: s3.put_object(
                **place, **options, Body=body, ContentMD5=checksum, IfNoneMatch="*"
            )
        )
    except ObjectExists:
        return _adopt(s3, place, etag=digest.hex())
    return version_id_of(answer)


def _put_parts(
    s3: S3Client, parts: Iterable[bytes], place: dict[str, Any], options: dict[str, Any]
) -> str:
    upload_id = call(lambda: s3.create_multipart_upload(**place, **options))["UploadId"]
    try:
        etags = [
            _upload_part(s3, part, {**place, "UploadId": upload_id, "PartNumber": number})
            for number, part in enumerate(parts, start=1)
        ]
        return _complete(s3, etags, place, upload_id)
    except BaseException:
        # Whatever happened, be it in who gives us the chunks: leave no parts behind.
        with suppress(StoreError):
            call(lambda: s3.abort_multipart_upload(**place, UploadId=upload_id))
        raise


def _upload_part(s3: S3Client, part: bytes, which: dict[str, Any]) -> str:
    return call(lambda: s3.upload_part(**which, Body=part))["ETag"].strip('"')


def _complete(s3: S3Client, etags: list[str], place: dict[str, Any], upload_id: str) -> str:
    finished = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
    request: dict[str, Any] = {
        **place,
        "UploadId": upload_id,
        "MultipartUpload": {"Parts": finished},
    }
    try:
        answer = call(lambda: s3.complete_multipart_upload(**request, IfNoneMatch="*"))
    except (ObjectExists, ObjectMissing):
        joined = md5(b"".join(bytes.fromhex(etag) for etag in etags), usedforsecurity=False)
        return _adopt(s3, place, etag=f"{joined.hexdigest()}-{len(etags)}")
    return version_id_of(answer)


def _adopt(s3: S3Client, place: dict[str, Any], *, etag: str) -> str:
    """What lies under the key is ours, from an attempt whose answer was lost, or ObjectExists."""
    found = call(lambda: s3.head_object(**place))
    if found["ETag"].strip('"') != etag:
        raise ObjectExists
    return version_id_of(found)


def _parts(body: bytes | Iterable[bytes] | Readable) -> Iterator[bytes]:
    """The body in parts of PART_BYTES, the last one shorter (or empty)."""
    pending = bytearray()
    for chunk in _chunks(body):
        pending += chunk
        while len(pending) >= PART_BYTES:
            yield bytes(pending[:PART_BYTES])
            del pending[:PART_BYTES]
    yield bytes(pending)


def _chunks(body: bytes | Iterable[bytes] | Readable) -> Iterator[bytes]:
    if isinstance(body, bytes | bytearray | memoryview):
        yield bytes(body)
    elif hasattr(body, "read"):
        while chunk := body.read(PART_BYTES):
            yield chunk
    else:
        yield from body


def _chained(first: bytes, parts: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    # An empty last part is left out: the first one is full.
    yield from (part for part in parts if part)
