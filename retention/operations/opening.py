"""
Keeps a restored system closed until what was destroyed since its backup is destroyed again.

The ledger lies where no restore reaches it. If it names a conversation whose key the database still
has, a backup has brought that back: it is asked, so that nobody has to remember to say so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.db import DatabaseError, InterfaceError, connections
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.checks import NotOpen
from recordings.models import Conversation
from recordings.objectstore import ObjectStore, StoreError, Version
from retention import ledger
from retention.ledger import LedgerUnreadable
from retention.models import LedgerEntry

# How often the ledger is asked, and how often whether the database has gone back.
ASK_SECONDS = 30.0
GLANCE_SECONDS = 1.0
# A system that is closed asks sooner, so that it opens soon.
ASK_AGAIN_SECONDS = 3.0
# How long what was open stays open while the ledger cannot be asked: see decision 11.
GRACE_SECONDS = 900.0
# Each purge killed between writing an entry and noting it leaves one that the database does not
# know, for a day. One that names a key which is still there ends the reading at once.
MOST_READ = 200
TOGETHER = 1000

RESTORED = _(
    "This system was restored from a backup. What has been destroyed since is destroyed again "
    "before anything opens: an operator runs manage.py replay_destructions."
)
UNASKED = _(
    "The ledger of destructions cannot be asked, so it is not known whether this system was "
    "restored from a backup. It opens by itself when the object store answers."
)
LEDGER_LOST = _(
    "The ledger of destructions does not have what this database has written there: the anchor "
    "bucket is another one, or was altered. An operator looks at S3_ANCHOR_BUCKET."
)
ANOTHER_ORIGIN = _(
    "This database has written its ledger of destructions under another name than AUDIT_ORIGIN "
    "says. An operator sets it as it was."
)

logger = logging.getLogger(__name__)


def compare(*, store: ObjectStore) -> str:
    """
    Make sure that the database has lost no destruction that the ledger names.

    Returns the newest entry that the database knows, empty if there is none.

    Raises NotOpen; StoreUnavailable, StoreRefused.
    """
    newest = newest_known()
    if LedgerEntry.objects.exclude(key__startswith=ledger.folder()).exists():
        raise NotOpen(ANOTHER_ORIGIN)
    try:
        found = list(ledger.listed(store, after=newest or None))
        if newest and all(version.key != newest for version in found):
            raise NotOpen(LEDGER_LOST)
        strange = list(unknown(found))
        if len(strange) > MOST_READ or any(_has_a_key(store, each) for each in strange):
            raise NotOpen(RESTORED)
    except LedgerUnreadable as unreadable:
        raise NotOpen(str(unreadable)) from unreadable
    return newest


def newest_known() -> str:
    """Give the newest entry of the ledger that the database knows, empty if there is none."""
    return LedgerEntry.objects.order_by("-key").values_list("key", flat=True).first() or ""


def unknown(found: Sequence[Version]) -> Iterator[Version]:
    """Give those of the entries that the database does not know, in their order."""
    for at in range(0, len(found), TOGETHER):
        chunk = found[at : at + TOGETHER]
        rows = LedgerEntry.objects.filter(key__in=[version.key for version in chunk])
        known = set(rows.values_list("key", flat=True))
        yield from (version for version in chunk if version.key not in known)


def _has_a_key(store: ObjectStore, version: Version) -> bool:
    """Whether the entry names a conversation whose key the database still has."""
    named = [each.conversation_id for each in ledger.read(store, version).named]
    return Conversation.objects.filter(pk__in=named, key_destroyed_at=None).exists()


@dataclass(slots=True)
class _Door:
    """What this process knows: until when it is open, or why it is closed."""

    reason: str | Promise | None = None
    newest: str = ""
    # Of the monotonic clock; None: never.
    answered_at: float | None = None
    asked_at: float | None = None
    glanced_at: float = 0.0
    asking: threading.Lock = field(default_factory=threading.Lock)


_door = _Door()


def forget() -> None:
    """Know nothing again, as a process that has just started."""
    global _door
    _door = _Door()


def refuse_unless_open() -> None:
    """
    Stop whoever serves while the database may hold what was destroyed.

    The first time the ledger is asked, and nothing opens before it has answered; from then on it
    is asked beside the work, each ASK_SECONDS. That the database went back behind what this
    process has seen is noticed within GLANCE_SECONDS.

    Raises NotOpen with the reason.
    """
    door, now = _door, time.monotonic()
    is_open = door.answered_at is not None and door.reason is None
    if is_open and now >= door.glanced_at + GLANCE_SECONDS:
        door.glanced_at = now
        newest = newest_known()
        is_open = newest >= door.newest
        door.newest = max(newest, door.newest)
    due = door.asked_at is None or now >= door.asked_at + (
        ASK_SECONDS if is_open else ASK_AGAIN_SECONDS
    )
    if not is_open and (due or door.reason is None):
        _ask(door)
    elif due and door.asking.acquire(blocking=False):
        threading.Thread(target=_ask_aside, args=[door], name="ledger", daemon=True).start()
    if door.reason is not None:
        raise NotOpen(door.reason)


def _ask_aside(door: _Door) -> None:
    try:
        _ask(door)
    except (DatabaseError, InterfaceError) as error:
        # Whoever is served meets the same, and is told.
        logger.warning("The ledger could not be compared: %s", type(error).__name__)
    finally:
        connections.close_all()
        door.asking.release()


def _ask(door: _Door) -> None:
    door.asked_at = now = time.monotonic()
    try:
        newest = compare(store=ObjectStore.for_anchor_reading())
    except NotOpen as closed:
        _close(door, closed.args[0])
    except StoreError as error:
        went_back = newest_known() < door.newest
        was_open = door.answered_at is not None and door.reason is None
        if went_back or not was_open or now > (door.answered_at or 0.0) + GRACE_SECONDS:
            logger.warning("The ledger cannot be asked: %s", error)
            _close(door, UNASKED)
    else:
        door.newest, door.answered_at, door.reason = newest, now, None


def _close(door: _Door, reason: str | Promise) -> None:
    if door.reason != reason:
        logger.error("Closed: %s", reason)
    door.reason = reason
