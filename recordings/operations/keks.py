"""Destroys key-encryption keys that nothing needs any more: old backups then open nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from audit.events import Actor, EventType
from audit.operations import append
from recordings.keyring import Keyring
from recordings.models import Conversation, DestroyedKek, Rewrap

ACTOR = Actor.system("keys")
# The first of the two numbers of our advisory locks in PostgreSQL.
_LOCK = 0x4B45


@dataclass(slots=True)
class Tally:
    """The names of keys by what became of them."""

    destroyed: list[str] = field(default_factory=list)
    in_use: list[str] = field(default_factory=list)
    # Nothing needs them but a backup that is not too old to be restored.
    wait_for_backups: list[str] = field(default_factory=list)


def keep(*, kek_name: str) -> None:
    """
    Let nobody destroy the key until this transaction has ended: before a key is wrapped with it.

    Waits for who destroys it just now; what is wrapped afterwards has a new key.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, hashtext(%s))", [_LOCK, kek_name])


def destroy_past(*, keyring: Keyring, now: datetime, is_dry_run: bool = False) -> Tally:
    """
    Destroy the keys of past months with which nothing is wrapped, and no restorable backup needs.

    A backup needs one out of which something was wrapped anew less than `BACKUP_KEPT_DAYS` ago:
    there it is wrapped with the old key still. What was destroyed is not to be read again. The
    open key, under which held ones lie, is no month's and stays.

    The event is committed before the key goes; killed between, the next call does both again.

    Raises KeyringUnavailable.

    Source: design, *Content*; NIST SP 800-57 part 1, 8.3.4.
    """
    tally = Tally()
    used = set(Conversation.objects.order_by().values_list("kek_name", flat=True).distinct())
    # Whole days: what was wrapped anew late on the last one counts from its end.
    before = (now - timedelta(days=settings.BACKUP_KEPT_DAYS)).astimezone(UTC).date()
    for name in keyring.names():
        month = _month_of(name)
        if month is None or month >= f"{now.astimezone(UTC):%Y-%m}":
            continue
        if name in used:
            tally.in_use.append(name)
        elif Rewrap.objects.filter(kek_name=name, day__gte=before).exists():
            tally.wait_for_backups.append(name)
        elif is_dry_run or _destroy(name, keyring=keyring, now=now):
            tally.destroyed.append(name)
        else:
            tally.in_use.append(name)
    return tally


def _destroy(name: str, *, keyring: Keyring, now: datetime) -> bool:
    with _alone_with(name) as is_alone:
        # Asked under the lock: whoever wrapped with it meanwhile has committed.
        if not is_alone or Conversation.objects.filter(kek_name=name).exists():
            return False
        _say(name, now=now)
        keyring.destroy(name)
    return True


@transaction.atomic
def _say(name: str, *, now: datetime) -> None:
    month = datetime.strptime(f"{_month_of(name)}+0000", "%Y-%m%z")
    lapses_at = now + timedelta(days=settings.KEYRING_ESCROW_KEPT_DAYS)
    DestroyedKek.objects.create(kek_name=name, destroyed_at=now, last_copy_lapses_at=lapses_at)
    append(
        event_type=EventType.KEK_DESTROYED,
        actor=ACTOR,
        now=now,
        log=UUID(name.split("/")[1]),
        facts={"from": month, "until": lapses_at},
    )


def _month_of(name: str) -> str | None:
    kind, _, rest = name.partition("/")
    month = rest.partition("/")[2]
    return month if kind == "kek" and month != "open" else None


@contextmanager
def _alone_with(name: str) -> Iterator[bool]:
    """Keep away who would wrap with the key; gives whether nobody does just now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", [_LOCK, name])
        (is_alone,) = cursor.fetchone()
    try:
        yield is_alone
    finally:
        if is_alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", [_LOCK, name])
