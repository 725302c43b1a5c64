"""Signed checkpoints: the heads of a log, as text anybody can check (C2SP signed notes)."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Protocol, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ED25519 = b"\x01"


class Signer(Protocol):
    """An Ed25519 key, wherever it lies, that signs without being seen."""

    def sign(self, data: bytes, /) -> bytes:
        """Give the 64 bytes of a signature (RFC 8032)."""

    def public_key(self) -> Ed25519PublicKey:
        """Give the public half."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: whose it is, how many leaves its tree has, and the tree's root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed (C2SP tlog-checkpoint)."""
        return f"{self.origin}\n{self.size}\n{encoded(self.root)}\n"

    def signed(self, *signers: Signer) -> str:
        """Give the note: the text and a line for each signer, who signs in the log's name."""
        lines = [_signature(self.origin, self.text, signer) for signer in signers]
        return f"{self.text}\n{''.join(lines)}"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key together with the name it signs under."""

    name: str
    public_key: bytes  # 32 bytes, RFC 8032

    @classmethod
    def of(cls, key: Signer, *, name: str) -> Self:
        """Give the public half of a key."""
        return cls(name, public_bytes(key.public_key()))

    @property
    def key_id(self) -> bytes:
        """The four bytes by which a signature names its key."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public_key).digest()[:4]

    def __str__(self) -> str:
        """Give the line in which such keys are published: name+hash+key."""
        return f"{self.name}+{self.key_id.hex()}+{encoded(ED25519 + self.public_key)}"


def tlog_proof(*, index: int, path: list[bytes], note: str, extra: bytes | None = None) -> str:
    """Write a proof that an entry is in a log, to be checked offline (C2SP tlog-proof)."""
    head = ["c2sp.org/tlog-proof@v1"]
    if extra is not None:
        head.append(f"extra {encoded(extra)}")
    return "\n".join([*head, f"index {index}", *map(encoded, path), "", note])


def fingerprint(public_key: bytes) -> str:
    """Name a public key in events and on pages: SHA-256 in hexadecimal."""
    return hashlib.sha256(public_key).hexdigest()


def public_bytes(key: Ed25519PublicKey) -> bytes:
    """Give the 32 bytes of a public key."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def encoded(data: bytes) -> str:
    """Write bytes as base64 (RFC 4648, section 4)."""
    return base64.b64encode(data).decode()


def _signature(name: str, text: str, signer: Signer) -> str:
    key_id = VerifierKey.of(signer, name=name).key_id
    return f"— {name} {encoded(key_id + signer.sign(text.encode()))}\n"
