"""Puts checkpoints where the database's owner cannot change them, and heeds what lies there."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from audit import anchoring, trees, verify
from audit.anchoring import AnchorPlace, AnchorReader, AnchorWriter
from audit.events import Actor, EventType, Target, log_of
from audit.models import Anchor, Origin, SealingKey
from audit.notes import VerifierKey
from audit.operations.events import append
from audit.operations.sealing import origin_name


class LogForked(Exception):
    """
    The anchor knows of a head that the database's log does not lead to.

    The database was restored from a backup, or altered. Nothing is sealed in that log until a
    person has decided.
    """

    def __init__(self, log: str, *, anchored_size: int, size: int) -> None:
        super().__init__(
            f"Log {log} was anchored with {anchored_size} events, and the database does not lead "
            f"there: it has {size} sealed events. After restoring a backup: manage.py "
            f"seal_audit --restart {log}. Otherwise somebody has altered it."
        )


def anchor(*, log: str, store: AnchorWriter, now: datetime) -> Anchor | None:
    """
    Put the newest checkpoint of a log into the anchor, locked, unless it is there.

    A key that is used holds our own earlier attempt, or a fork that `verify` finds.

    Raises `audit.anchoring.AnchorUnavailable`.
    """
    newest = trees.newest_checkpoint(log=log)
    if newest is None or Anchor.objects.filter(log=log, size=newest.size).exists():
        return None
    origin = Origin.objects.get(origin=newest.origin)
    key = AnchorPlace(log, origin.number, newest.size).key(at=newest.sealed_at)
    retain_until = now + timedelta(days=settings.AUDIT_ANCHOR_KEPT_DAYS)
    store.put(key, newest.note.encode(), retain_until=retain_until)
    made = Anchor(log=log, size=newest.size, key=key, anchored_at=now)
    # Another sealer may have written it down a moment before.
    Anchor.objects.bulk_create([made], ignore_conflicts=True)
    return made


def check_leads_on(*, log: str, store: AnchorReader) -> None:
    """
    Make sure that the database's log continues what was anchored last.

    Raises LogForked, `audit.anchoring.AnchorUnavailable`.
    """
    lost = _lost_head(log, store)
    if lost is not None:
        raise LogForked(log, anchored_size=lost[0].size, size=_size(log))


def restart(*, log: str, store: AnchorReader, actor: Actor, now: datetime) -> Origin:
    """
    Let a log whose database was restored go on, under a new origin that names the lost head.

    Raises `audit.anchoring.AnchorUnavailable`; ValueError if the log leads on from its anchor.
    """
    lost = _lost_head(log, store)
    if lost is None:
        raise ValueError(f"Log {log} leads on from what was anchored: there is nothing to restart.")
    return _start_anew(log, *lost, actor=actor, now=now)


@transaction.atomic
def _start_anew(log: str, place: AnchorPlace, note: str, *, actor: Actor, now: datetime) -> Origin:
    size, number = _size(log), place.number + 1
    append(
        event_type=EventType.LOG_RESTARTED,
        actor=actor,
        now=now,
        log=log_of(log),
        target=Target("log", log),
        facts={
            "size": place.size,
            "lost": max(place.size - size, 0),
            "root": verify.parse_checkpoint(note).root.hex(),
        },
    )
    return Origin.objects.create(
        log=log,
        number=number,
        origin=origin_name(log, number),
        from_size=size,
        continues=note,
        started_at=now,
    )


def _lost_head(log: str, store: AnchorReader) -> tuple[AnchorPlace, str] | None:
    """Give the head that was anchored last, if the database's log does not lead on from it."""
    origin = trees.current_origin(log=log)
    found = anchoring.newest(store, log=log, number=origin.number if origin else 1)
    if found is None:
        return None
    place, note = found
    leads_on = (
        _is_ours(log, place, note)
        and place.size <= _size(log)
        and trees.tree(log=log, size=place.size).root() == verify.parse_checkpoint(note).root
    )
    return None if leads_on else found


def _size(log: str) -> int:
    newest = trees.newest_checkpoint(log=log)
    return newest.size if newest else 0


def _is_ours(log: str, place: AnchorPlace, note: str) -> bool:
    name = origin_name(log, place.number)
    keys = [
        str(VerifierKey(name, bytes(key)))
        for key in SealingKey.objects.values_list("public_key", flat=True)
    ]
    try:
        head = verify.open_note(note, keys)
    except (verify.Tampered, verify.Incomplete):
        # Signed by a key that the restored database never knew, or by nobody.
        return False
    return bool(head.origin == name and head.size == place.size)
