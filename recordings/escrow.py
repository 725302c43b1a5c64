"""
Writes a copy of the keyring that any two of several people open together, and none alone.

The copy is encrypted under a random key. For each pair of people that key is split into two shares,
of which each alone is a random number, and each share is encrypted for one of them: X25519, HKDF,
AES-256-GCM, as in RFC 9180, without its framing.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from audit import canonical
from audit.registry import instant
from recordings.keyring import KEY_BYTES, NONCE_BYTES

VERSION = 1
FEWEST_PEOPLE = 2
_PURPOSE = b"tallenne keyring escrow share 1"
# Each key that a share is encrypted with is used once.
_ONCE = bytes(NONCE_BYTES)


class CopyDoesNotOpen(Exception):
    """It is no copy of a keyring, was altered, or is not for these two people."""

    def __init__(
        self, sentence: str = "The copy was altered, or is not for these two people."
    ) -> None:
        super().__init__(sentence)


@dataclass(frozen=True, slots=True)
class Copy:
    """What a copy holds."""

    made_at: datetime
    keys: dict[str, bytes]


def seal(
    keys: Mapping[str, bytes], *, people: Mapping[str, X25519PublicKey], made_at: datetime
) -> bytes:
    """Write a copy of the keys for the people, by name. ValueError for fewer than two."""
    if len(people) < FEWEST_PEOPLE or len({_raw(key) for key in people.values()}) < len(people):
        raise ValueError("A copy is opened by two people: name two or more.")
    key, nonce = os.urandom(KEY_BYTES), os.urandom(NONCE_BYTES)
    header = {
        "v": VERSION,
        "made_at": instant(made_at),
        "keys": len(keys),
        "people": list(people),
        "shares": [
            {"for": [one, other], "sealed": _split(key, people[one], people[other])}
            for one, other in combinations(people, 2)
        ],
    }
    body = json.dumps({name: _text(value) for name, value in keys.items()})
    sealed = AESGCM(key).encrypt(nonce, body.encode(), canonical.dumps(header).encode())
    return canonical.dumps({**header, "nonce": _text(nonce), "body": _text(sealed)}).encode()


def made_at_of(data: bytes) -> datetime:
    """Say when a copy says it was made. Raises CopyDoesNotOpen."""
    return datetime.fromisoformat(_read(data)["made_at"])


def unseal(data: bytes, *, private_keys: Sequence[X25519PrivateKey]) -> Copy:
    """Open a copy with the keys of two people it is for. Raises CopyDoesNotOpen."""
    said = _read(data)
    try:
        nonce, sealed = _bytes(said.pop("nonce")), _bytes(said.pop("body"))
        header = canonical.dumps(said).encode()
        for share in said["shares"]:
            halves = [_half(_bytes(each), private_keys) for each in share["sealed"]]
            if None in halves:
                continue
            key = _xor(*(half for half in halves if half is not None))
            body = json.loads(AESGCM(key).decrypt(nonce, sealed, header))
            keys = {name: _bytes(value) for name, value in body.items()}
            return Copy(datetime.fromisoformat(said["made_at"]), keys)
    except (InvalidTag, KeyError, TypeError, ValueError, AttributeError):
        raise CopyDoesNotOpen from None
    raise CopyDoesNotOpen


def _read(data: bytes) -> dict[str, Any]:
    with suppress(KeyError, TypeError, ValueError):
        said = json.loads(data)
        if said["v"] == VERSION and datetime.fromisoformat(said["made_at"]).tzinfo is not None:
            return dict(said)
    raise CopyDoesNotOpen("That is no copy of a keyring.")


def _split(key: bytes, one: X25519PublicKey, other: X25519PublicKey) -> list[str]:
    share = os.urandom(KEY_BYTES)
    return [_text(_sealed_for(one, share)), _text(_sealed_for(other, _xor(share, key)))]


def _sealed_for(person: X25519PublicKey, share: bytes) -> bytes:
    ephemeral = X25519PrivateKey.generate()
    public = _raw(ephemeral.public_key())
    key = _derived(ephemeral.exchange(person), public, _raw(person))
    return public + AESGCM(key).encrypt(_ONCE, share, None)


def _half(sealed: bytes, private_keys: Sequence[X25519PrivateKey]) -> bytes | None:
    public = X25519PublicKey.from_public_bytes(sealed[:KEY_BYTES])
    for private in private_keys:
        key = _derived(private.exchange(public), sealed[:KEY_BYTES], _raw(private.public_key()))
        try:
            return AESGCM(key).decrypt(_ONCE, sealed[KEY_BYTES:], None)
        except InvalidTag:
            continue
    return None


def _derived(shared: bytes, ephemeral: bytes, person: bytes) -> bytes:
    info = _PURPOSE + ephemeral + person
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(shared)


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _raw(key: X25519PublicKey) -> bytes:
    return key.public_bytes_raw()


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
