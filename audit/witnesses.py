"""Witnesses: servers of others that cosign a log's heads if each continues the one before.

Sources: C2SP tlog-witness (`add-checkpoint`) and tlog-cosignature (Ed25519).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from audit import posting, verify
from audit.notes import encoded
from audit.posting import NoAnswer

SIZE_TYPE = "text/x.tlog.size"
_LONGEST_SIZE = 20  # digits, and the end of the line


class Refusal(StrEnum):
    """Why a witness does not cosign."""

    UNKNOWN_LOG = "witness_knows_no_such_log"
    UNKNOWN_KEY = "witness_knows_another_key"
    INCONSISTENT = "witness_saw_another_log"
    NOT_UNDERSTOOD = "witness_did_not_understand"
    SILENT = "witness_silent"


_REFUSALS = {
    400: (Refusal.NOT_UNDERSTOOD, "it did not understand the question"),
    403: (Refusal.UNKNOWN_KEY, "it knows the log under another key"),
    404: (Refusal.UNKNOWN_LOG, "it does not know the log"),
    409: (Refusal.INCONSISTENT, "it has seen another head of the same size"),
    422: (Refusal.INCONSISTENT, "this head does not continue what it has seen"),
}


class NotCosigned(Exception):
    """A witness did not cosign; the sentence says why."""

    def __init__(self, refusal: Refusal, why: str) -> None:
        super().__init__(why)
        self.refusal = refusal


class SeenOtherSize(Exception):
    """The witness last cosigned the head of another size: from there it has to be asked."""

    def __init__(self, size: int) -> None:
        super().__init__(f"it last saw {size} events")
        self.size = size


@dataclass(frozen=True, slots=True)
class Witness:
    """One who is asked: the public key (name+hash+key, type 0x04) and the prefix of its address."""

    vkey: str
    url: str

    @property
    def name(self) -> str:
        """The name it signs under."""
        return self.vkey.partition("+")[0]

    @property
    def key_id(self) -> str:
        """The eight hexadecimal digits by which a cosignature names its key."""
        return self.vkey.split("+", 2)[1]

    def ask(self, *, note: str, earlier: int, proof: Sequence[bytes]) -> Cosignature:
        """
        Have a head cosigned, by a proof that it continues the one of `earlier` events.

        Waits for `audit.posting.ANSWER_SECONDS` at most.

        Raises SeenOtherSize, NotCosigned.
        """
        question = "".join(f"{line}\n" for line in (f"old {earlier}", *map(encoded, proof), ""))
        try:
            answer = posting.post(
                f"{self.url}/add-checkpoint",
                (question + note).encode(),
                content_type="text/plain; charset=utf-8",
            )
        except NoAnswer as error:
            raise NotCosigned(Refusal.SILENT, str(error)) from error
        if answer.status == 200:
            return self._read(note, answer.body)
        if answer.status == 409 and answer.content_type == SIZE_TYPE:
            size = answer.body[:_LONGEST_SIZE].decode(errors="replace").removesuffix("\n")
            if size.isascii() and size.isdigit() and int(size) != earlier:
                raise SeenOtherSize(int(size))
        if answer.status == 409 and note.split("\n")[1] != str(earlier):
            # Another root is meant only where the size it saw is that of the head.
            raise NotCosigned(Refusal.NOT_UNDERSTOOD, "it does not say from where to go on")
        why = f"it answered with status {answer.status}"
        raise NotCosigned(*_REFUSALS.get(answer.status, (Refusal.SILENT, why)))

    def _read(self, note: str, body: bytes) -> Cosignature:
        own = f"— {self.name} "
        lines = body.decode(errors="replace").splitlines(keepends=True)
        answered = "".join(line for line in lines if line.startswith(own))
        try:
            seconds = verify.cosigned_at(note + answered, self.vkey)
        except (verify.Tampered, verify.Incomplete) as error:
            raise NotCosigned(Refusal.SILENT, f"its answer is no cosignature: {error}") from error
        return Cosignature(answered, datetime.fromtimestamp(seconds, UTC))


@dataclass(frozen=True, slots=True)
class Cosignature:
    """What a witness added to a note: its lines, and the time it vouches for."""

    lines: str
    witnessed_at: datetime


def configured() -> list[Witness]:
    """
    Give the witnesses that AUDIT_WITNESSES names.

    Raises `django.core.exceptions.ImproperlyConfigured`.
    """
    found = []
    for line in settings.AUDIT_WITNESSES:
        vkey, _, url = line.strip().partition(" ")
        try:
            verify.check_witness_key(vkey)
        except verify.Incomplete as error:
            raise ImproperlyConfigured(f"AUDIT_WITNESSES: {error}") from error
        if not url.startswith(("https://", "http://")):
            raise ImproperlyConfigured("AUDIT_WITNESSES: after each key comes an address.")
        found.append(Witness(vkey, url.rstrip("/")))
    return found
