"""Copies the keyring into escrow, brings it back from there, and lets old copies go."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from django.conf import settings
from django.db import transaction

from audit.events import Actor, EventType
from audit.operations import append
from recordings import escrow
from recordings.keyring import FileKeyring, KeyMissing
from recordings.models import DestroyedKek

ACTOR = Actor.system("keys")
SUFFIX = ".escrow"


@dataclass(frozen=True, slots=True)
class Kept:
    """One copy in a folder, and when it is to be destroyed."""

    path: Path
    made_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of the keys in a copy, by name."""

    restored: list[str]
    # There already; another key of that name is never replaced.
    there: list[str]
    # Destroyed since: a copy brings nothing back.
    destroyed: list[str]


def copy(
    *, keyring: FileKeyring, people: Mapping[str, X25519PublicKey], folder: Path, now: datetime
) -> Path:
    """
    Write a copy of the keyring that any two of the people open, under a name with its time.

    The event is committed before the copy is there. Raises KeyringUnavailable, OSError; ValueError
    for fewer than two people.
    """
    keys = dict(_all_of(keyring))
    data = escrow.seal(keys, people=people, made_at=now)
    with transaction.atomic():
        append(
            event_type=EventType.KEYRING_ESCROWED,
            actor=ACTOR,
            now=now,
            log=None,
            facts={
                "count": len(keys),
                "digest": hashlib.sha256(data).hexdigest(),
                "days": settings.KEYRING_ESCROW_KEPT_DAYS,
            },
        )
    path = folder / f"keyring-{now:%Y%m%dT%H%M%SZ}{SUFFIX}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return path


def _all_of(keyring: FileKeyring) -> Iterator[tuple[str, bytes]]:
    for name in keyring.names():
        # One may be destroyed meanwhile, or have been half-way.
        with suppress(KeyMissing):
            yield name, keyring.get(name)


def restore(
    *, data: bytes, private_keys: Sequence[X25519PrivateKey], keyring: FileKeyring, now: datetime
) -> Restored:
    """
    Write the keys of a copy that are missing into the keyring.

    A key that the database knows to be destroyed since the copy was made is left out. What a
    restored database does not know of, `destroy_past` destroys again.

    Raises CopyDoesNotOpen, KeyringUnavailable.
    """
    opened = escrow.unseal(data, private_keys=private_keys)
    since = DestroyedKek.objects.filter(destroyed_at__gte=opened.made_at)
    destroyed = set(since.values_list("kek_name", flat=True)) & opened.keys.keys()
    with transaction.atomic():
        append(
            event_type=EventType.KEYRING_RESTORED,
            actor=ACTOR,
            now=now,
            log=None,
            facts={
                "count": len(opened.keys) - len(destroyed),
                "digest": hashlib.sha256(data).hexdigest(),
            },
        )
    wanted = sorted(opened.keys.keys() - destroyed)
    restored = [name for name in wanted if keyring.put_back(name, opened.keys[name])]
    there = [name for name in wanted if name not in restored]
    return Restored(restored, there, sorted(destroyed))


def kept(*, folder: Path) -> list[Kept]:
    """
    List the copies in a folder, the oldest first, with when each is to be destroyed.

    Raises CopyDoesNotOpen for a file that is none, OSError.
    """
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        made_at = escrow.made_at_of(path.read_bytes())
        due_at = made_at + timedelta(days=settings.KEYRING_ESCROW_KEPT_DAYS)
        found.append(Kept(path, made_at, due_at))
    return sorted(found, key=lambda each: each.made_at)
