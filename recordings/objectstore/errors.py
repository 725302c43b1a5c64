"""What can go wrong with the store, and which of botocore's and aiohttp's errors mean it."""

from __future__ import annotations

from botocore.exceptions import (
    ClientError,
    NoCredentialsError,
    ParamValidationError,
)


class StoreError(Exception):
    """Something went wrong between us and the store."""

    sentence = "Something went wrong in the object store."

    def __init__(self, sentence: str | None = None) -> None:
        super().__init__(sentence or self.sentence)


class StoreUnavailable(StoreError):
    """The store did not answer, or not in time, or said that it cannot for now: try later."""

    sentence = "The object store cannot be reached for now."


class StoreRefused(StoreError):
    """The store answered no, and will again: a right, a setting or the request is wrong."""

    sentence = "The object store refused what was asked."


class ObjectMissing(StoreError):
    """There is no such version of such an object."""

    sentence = "The object is not in the store."


class HoldNeverPlaced(ObjectMissing):
    """The version is there; no legal hold, or retention date, was ever set on it."""


class ObjectHeld(StoreError):
    """
    The version may not be removed: a legal hold or a retention date protects it.

    S3 says the same (AccessDenied) when the identity lacks the right, which the purge's has.
    """

    sentence = "The object is protected against removal."


class ObjectExists(StoreError):
    """There is another object under this key already; ours was not written."""

    sentence = "Another object lies under this key."


def translate(error: Exception) -> StoreError:
    """The error of ours that an error of botocore, urllib3, aiohttp or the network means."""
    if isinstance(error, ClientError):
        answer = error.response
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return from_answer(status, answer.get("Error", {}).get("Code", ""))
    if isinstance(error, ParamValidationError | NoCredentialsError):
        return StoreRefused()
    # botocore's connection errors, urllib3's and aiohttp's share no class, and are not all OSError.
    return StoreUnavailable()


def from_answer(status: int, code: str) -> StoreError:
    """The error of ours that an HTTP status and S3's error code mean."""
    if status == 412 or code == "PreconditionFailed":
        return ObjectExists()
    if code == "NoSuchBucket":
        return StoreRefused("The bucket does not exist.")
    if code in {"NoSuchObjectLegalHold", "NoSuchObjectLockConfiguration"}:
        return HoldNeverPlaced()
    if status == 404 or code in {"NoSuchKey", "NoSuchVersion"}:
        return ObjectMissing()
    if status >= 500 or status in {0, 408, 409, 429} or code in {"SlowDown", "RequestTimeout"}:
        return StoreUnavailable()
    return StoreRefused()
