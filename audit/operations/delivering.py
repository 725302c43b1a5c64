"""Delivers each month of each log once it is over: one .zip, brought to the receiver once."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils.functional import Promise

from audit import clock, queries, receiving, verify
from audit.bundles.copies import Format
from audit.bundles.sinks import FolderBegun, Zip
from audit.deliveries import bounds, due_months
from audit.events import Actor, EventType, Target, log_name
from audit.models import Delivery
from audit.operations.events import AuditUnavailable, accountable, append
from audit.operations.exporting import to_folder
from audit.proofs import NotSealed
from audit.receiving import REASONS, NotReceived
from audit.trees import TreeIncomplete

logger = structlog.get_logger("tallenne.audit")

_LOCK = 471_300
_FAILURES: dict[type[Exception], str] = {
    NotSealed: "not_sealed",
    TreeIncomplete: "tree_incomplete",
    FolderBegun: "work_folder",
    AuditUnavailable: "unlogged",
    DatabaseError: "unlogged",
    OSError: "work_folder",
}


@dataclass(frozen=True, slots=True)
class Delivered:
    """A month that was delivered, and where it lies."""

    log: str
    month: date
    place: str


@dataclass(frozen=True, slots=True)
class NotDelivered:
    """A month that was not, and why."""

    log: str
    month: date
    reason: str  # a code of audit.receiving.REASONS

    @property
    def sentence(self) -> Promise | str:
        """What is wrong and what to do."""
        return REASONS[self.reason]


def deliver_months(*, actor: Actor) -> Iterator[Delivered | NotDelivered]:
    """
    Deliver what is due of every log, oldest first; gives what became of each month that was tried.

    A month that fails stops the later ones of its log, which continue it, and no other log. A log
    that another process delivers from at the moment is left to that one. After a kill it goes on
    where it was.

    Raises `django.db.DatabaseError`.
    """
    for log in queries.logs():
        with _alone_with(log_name(log)) as is_alone:
            if not is_alone:
                continue
            due = due_months(log=log_name(log), now=clock.now())
            _remove_delivered(log_name(log), due)
            for month in due:
                outcome = _tried(log, month, actor)
                yield outcome
                if isinstance(outcome, NotDelivered):
                    break


@contextmanager
def _alone_with(name: str) -> Iterator[bool]:
    # Held for the session, not for a transaction: none is open while the receiver is spoken to.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", [_LOCK, name])
        (is_alone,) = cursor.fetchone()
    try:
        yield is_alone
    finally:
        if is_alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", [_LOCK, name])


def _remove_delivered(name: str, due: list[date]) -> None:
    """Remove what a kill has left of months that had just been delivered."""
    needed = {f"{name}-{month:%Y-%m}" for month in due}
    for path in settings.AUDIT_EXPORT_WORK_DIR.glob(f"*/{name}-????-??*"):
        if path.name[: len(f"{name}-YYYY-MM")] not in needed:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _tried(log: UUID | None, month: date, actor: Actor) -> Delivered | NotDelivered:
    try:
        return _deliver(log, month, actor)
    except NotReceived as error:
        return _failed(log, month, error.reason, actor)
    except tuple(_FAILURES) as error:
        reason = next(code for kind, code in _FAILURES.items() if isinstance(error, kind))
        return _failed(log, month, reason, actor)


def _deliver(log: UUID | None, month: date, actor: Actor) -> Delivered:
    try:
        form = Format(settings.AUDIT_EXPORT_FORMAT)
    except ValueError as error:
        raise NotReceived("misconfigured") from error
    receiver = receiving.receiver()
    name = f"{log_name(log)}-{month:%Y-%m}"
    folder = settings.AUDIT_EXPORT_WORK_DIR / form.value / name
    from_at, until_at = bounds(month)
    if not folder.exists():
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _step in to_folder(
            target=folder,
            wanted=queries.Filter(logs=[log], from_at=from_at, until_at=until_at),
            form=form,
            actor=actor,
            now=clock.now(),
        ):
            pass
    packed = _packed(folder)
    place = receiver.deliver(packed, packed.name)
    digest = hashlib.sha256((folder / verify.MANIFEST).read_bytes()).hexdigest()
    now = clock.now()
    with accountable():
        Delivery.objects.update_or_create(
            log=log_name(log),
            month=month,
            defaults={"place": place, "manifest_digest": digest, "delivered_at": now},
        )
        append(
            event_type=EventType.BUNDLE_DELIVERED,
            actor=actor,
            now=now,
            log=log,
            target=Target("log", log_name(log)),
            facts={
                "digest": digest,
                "bytes": packed.stat().st_size,
                "from": from_at,
                "until": until_at,
            },
        )
    _remove(folder)
    _remove(packed)
    return Delivered(log_name(log), month, place)


def _packed(folder: Path) -> Path:
    """Give the folder as one file, made once: what is sent again is the same to the byte."""
    packed = folder.with_name(f"{folder.name}.zip")
    if packed.exists():
        return packed
    draft = packed.with_suffix(".draft")
    made = Zip()
    with draft.open("wb") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                made.write(path.relative_to(folder).as_posix(), path.read_bytes())
                file.write(made.take())
        made.finish()
        file.write(made.take())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(packed)
    return packed


def _failed(log: UUID | None, month: date, reason: str, actor: Actor) -> NotDelivered:
    """Have it known: a log line, the log's page, and an incident when it is news."""
    logger.error(
        "audit_month_not_delivered", log=log_name(log), month=f"{month:%Y-%m}", reason=reason
    )
    now = clock.now()
    try:
        with accountable():
            before = Delivery.objects.filter(log=log_name(log), month=month).first()
            Delivery.objects.update_or_create(
                log=log_name(log), month=month, defaults={"failed_at": now, "failure": reason}
            )
            if before is None or before.failure != reason:
                append(
                    event_type=EventType.INCIDENT_RAISED,
                    actor=actor,
                    now=now,
                    log=log,
                    target=Target("log", log_name(log)),
                    facts={"kind": "audit_month_not_delivered", "reason": reason},
                )
    except AuditUnavailable:
        logger.error("audit_unavailable", log=log_name(log))
    return NotDelivered(log_name(log), month, reason)
