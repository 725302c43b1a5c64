"""Who we are to the store: an address, a bucket and one pair of keys."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Self

import boto3
from botocore.config import Config

from recordings.objectstore.errors import StoreRefused

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS = 2
READ_SECONDS = 10
CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """One pair of keys, and the bucket it is for."""

    endpoint_url: str
    region: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)

    @classmethod
    def from_settings(cls, *, keys: str, bucket: str) -> Self:
        """
        The identity in S3_<keys>_ACCESS_KEY and S3_<keys>_SECRET_KEY, for S3_<bucket>_BUCKET.

        Raises StoreRefused if this process does not have it.
        """
        from django.conf import settings

        return cls.of_bucket(keys=keys, bucket=getattr(settings, f"S3_{bucket}_BUCKET", None))

    @classmethod
    def of_bucket(cls, *, keys: str, bucket: str | None) -> Self:
        """
        The identity in S3_<keys>_ACCESS_KEY and S3_<keys>_SECRET_KEY, for the bucket of that name.

        Raises StoreRefused if this process does not have it.
        """
        from django.conf import settings

        values = {
            "endpoint_url": getattr(settings, "S3_ENDPOINT_URL", None),
            "region": getattr(settings, "S3_REGION", None),
            "bucket": bucket,
            "access_key": getattr(settings, f"S3_{keys}_ACCESS_KEY", None),
            "secret_key": getattr(settings, f"S3_{keys}_SECRET_KEY", None),
        }
        if not all(values.values()):
            raise StoreRefused("This process has no access to that part of the object store.")
        return cls(**{name: str(value) for name, value in values.items()})


def client(identity: Identity) -> S3Client:
    """The client of this process for the identity; threads may share it."""
    # Connections must not be shared with a process we were forked from.
    return _client(identity, os.getpid())


@lru_cache(maxsize=16)
def _client(identity: Identity, _pid: int) -> S3Client:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=identity.endpoint_url,
        region_name=identity.region,
        aws_access_key_id=identity.access_key,
        aws_secret_access_key=identity.secret_key,
        config=Config(
            # botocore repeats a write whose answer was lost, which leaves a version nobody knows
            # of. We repeat ourselves, where that is harmless.
            retries={"total_max_attempts": 1},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            max_pool_connections=CONNECTIONS,
            # What we read carries tags of our own, of which a range can be checked too.
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
        ),
    )
