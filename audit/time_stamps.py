"""Time stamps of heads: an authority's signed word that a note existed at a time (RFC 3161)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cryptography import x509
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from audit import posting
from audit.posting import NoAnswer

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse


class NotStamped(Exception):
    """The authority gave no time stamp, or none that is right; the sentence says why."""


class OtherContent(NotStamped):
    """The time stamp is of something else."""


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """An authority's answer as it came (TimeStampResp, DER), and the time it vouches for."""

    response: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class Trust:
    """The certificates that those who stamp must be certified by."""

    certificates: list[x509.Certificate]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read them from a file (PEM). Raises `django.core.exceptions.ImproperlyConfigured`."""
        try:
            return cls(x509.load_pem_x509_certificates(path.read_bytes()))
        except (OSError, ValueError) as error:
            raise ImproperlyConfigured(f"{path} holds no certificates (PEM).") from error

    def check(self, *, response: bytes, note: str, nonce: int | None = None) -> datetime:
        """
        Check a time stamp of a note; gives its time.

        Raises OtherContent, NotStamped.
        """
        from rfc3161_client import VerificationError, VerifierBuilder

        answer = _read(response)
        if answer.tst_info.message_imprint.message != hashlib.sha256(note.encode()).digest():
            raise OtherContent("the time stamp is of something else.")
        verifier = VerifierBuilder(roots=list(self.certificates), nonce=nonce).build()
        try:
            verifier.verify_message(answer, note.encode())
        except (VerificationError, ValueError) as error:
            raise NotStamped(f"the time stamp is not right: {error}.") from error
        return answer.tst_info.gen_time


@dataclass(frozen=True, slots=True)
class Authority:
    """Who is asked for time stamps, and whom that has to be certified by."""

    url: str
    trust: Trust

    def ask(self, note: str) -> TimeStamp:
        """
        Have a note stamped; waits for `audit.posting.ANSWER_SECONDS` at most.

        Raises NotStamped.
        """
        from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

        builder = TimestampRequestBuilder().data(note.encode())
        request = builder.hash_algorithm(HashAlgorithm.SHA256).build()
        try:
            answer = posting.post(
                self.url, request.as_bytes(), content_type="application/timestamp-query"
            )
        except NoAnswer as error:
            raise NotStamped(str(error)) from error
        if answer.status != 200:
            raise NotStamped(f"it answered with status {answer.status}.")
        at = self.trust.check(response=answer.body, note=note, nonce=request.nonce)
        return TimeStamp(answer.body, at)


def trusted() -> Trust | None:
    """
    Give the certificates that AUDIT_TSA_CERTIFICATE names, if it names any.

    Raises `django.core.exceptions.ImproperlyConfigured`.
    """
    path = settings.AUDIT_TSA_CERTIFICATE
    return Trust.read(path) if path else None


def configured() -> Authority | None:
    """
    Give the authority that AUDIT_TSA_URL names, if it names one.

    Raises `django.core.exceptions.ImproperlyConfigured`.
    """
    if not settings.AUDIT_TSA_URL:
        return None
    trust = trusted()
    if trust is None or not settings.AUDIT_TSA_URL.startswith(("https://", "http://")):
        raise ImproperlyConfigured("AUDIT_TSA_URL needs an address and AUDIT_TSA_CERTIFICATE.")
    return Authority(settings.AUDIT_TSA_URL, trust)


def _read(response: bytes) -> TimeStampResponse:
    from rfc3161_client import decode_timestamp_response

    try:
        answer = decode_timestamp_response(response)
        answer.tst_info.gen_time  # noqa: B018 (a refusal has none)
    except ValueError as error:
        raise NotStamped("it gave no time stamp.") from error
    return answer
