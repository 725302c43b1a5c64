"""Appends events to the audit log, each in the transaction of what it describes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Unpack
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.utils.translation import gettext_lazy as _

from audit import bodies
from audit.deadlines import deadline
from audit.events import (
    Actor,
    EventMembers,
    EventType,
    FactValue,
    NewEvent,
    Outcome,
    Target,
    log_name,
)
from audit.models import AuditDetail

# The server gives up first, so that the usual refusal knows its reason; the deadline on our side
# is for a server that no longer answers.
SERVER_TIMEOUT_MILLISECONDS = 1_500
DEADLINE_SECONDS = 1.9


class AuditUnavailable(Exception):
    """What was to be done could not be logged, or it is not known whether it was: it is refused."""

    def __init__(self) -> None:
        super().__init__(_("Listening is stopped for now because it cannot be logged."))


class OutsideTransaction(RuntimeError):
    """An event was to be appended outside the transaction of what it describes."""


def append(
    *,
    event_type: EventType,
    actor: Actor,
    now: datetime,
    log: UUID | None,
    target: Target | None = None,
    subject: UUID | None = None,
    purpose: str | None = None,
    basis: str | None = None,
    outcome: Outcome | None = None,
    conversation: UUID | None = None,
    facts: Mapping[str, FactValue] | None = None,
    detail: Mapping[str, str] | None = None,
) -> UUID:
    """
    Append one event in the transaction of what it describes, and return its id.

    `log` is the controller whose log it belongs to, None the installation's. `conversation` is
    given when the event speaks of one that is not its target. `outcome` is that of the registry
    unless told. `facts` are those the registry allows, None among them is left out; `detail` is
    personal or free text, kept in a row of its own that can be erased.

    Raises OutsideTransaction outside `transaction.atomic`; `audit.events.EventRefused` for what
    the registry does not allow; `django.db.DatabaseError` when it cannot be written.
    """
    event = NewEvent(
        event_type=event_type,
        actor=actor,
        now=now,
        log=log,
        target=target,
        subject=subject,
        purpose=purpose,
        basis=basis,
        outcome=outcome,
        conversation=conversation,
        facts=facts,
        detail=detail,
    )
    return append_many(events=[event])[0]


def append_many(*, events: Sequence[NewEvent]) -> list[UUID]:
    """
    Append several events by one statement, in their order, and return their ids.

    Raises what `append` raises; then none of them is appended.
    """
    if not connection.in_atomic_block:
        raise OutsideTransaction("An event is appended inside transaction.atomic only.")
    written = [bodies.write(event) for event in events]
    if not written:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            # As three texts, each escaped at once: none of these has a line feed in it.
            "INSERT INTO audit_event (log, about_conversation, body) "
            "SELECT log, about_conversation::boolean, body FROM unnest("
            "string_to_array(%s, chr(10)), string_to_array(%s, chr(10)), "
            "string_to_array(%s, chr(10))) AS given (log, about_conversation, body)",
            [
                "\n".join(event.log for event in written),
                "\n".join(str(event.is_about_conversation) for event in written),
                "\n".join(event.body for event in written),
            ],
        )
    details = [
        AuditDetail(
            event_id=one.event_id,
            salt=one.detail.salt,
            text=one.detail.text,
            log=one.log,
            delete_after=event.now + timedelta(days=settings.AUDIT_DETAIL_KEPT_DAYS),
        )
        for event, one in zip(events, written, strict=True)
        if one.detail is not None
    ]
    if details:
        AuditDetail.objects.bulk_create(details)
    return [event.event_id for event in written]


def append_alone(**members: Unpack[EventMembers]) -> UUID:
    """
    Append one event in a transaction of its own, committed on return: for refusals above all.

    Takes what `append` takes.

    Raises AuditUnavailable; EventRefused; RuntimeError inside another transaction, whose rollback
    would take the event away.
    """
    with accountable():
        return append(**members)


@contextmanager
def accountable() -> Iterator[None]:
    """
    A transaction that is over and committed within two seconds, or refused.

    Content may leave after it, never inside it. Whatever the database answers inside or at
    commit, an unknown outcome among it, refuses the deed and discards the connection: an event
    too many is the safe side.

    Raises AuditUnavailable; RuntimeError inside another transaction.
    """
    try:
        with deadline(connection, seconds=DEADLINE_SECONDS), transaction.atomic(durable=True):
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config('lock_timeout', %s, true), "
                    "set_config('statement_timeout', %s, true), "
                    "set_config('synchronous_commit', 'on', true)",
                    [str(SERVER_TIMEOUT_MILLISECONDS), str(SERVER_TIMEOUT_MILLISECONDS)],
                )
            yield
    except (DatabaseError, InterfaceError) as error:
        connection.close()
        raise AuditUnavailable from error


def open_log(*, log: UUID | None) -> None:
    """
    Give a controller's log (None: the installation's) its partitions; a second time does nothing.

    As the owner of the tables only. Events of a log that was not opened are kept all the same, in
    the default partition.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT audit_open_log(%s)", [log_name(log)])


def create_partitions(*, months_ahead: int) -> int:
    """Create what partitions this month and the coming ones still need; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT audit_create_partitions(%s)", [months_ahead])
        return int(cursor.fetchone()[0])


@transaction.atomic
def erase_details(
    *, event_ids: Sequence[UUID], log: UUID | None, actor: Actor, now: datetime, reason: str
) -> int:
    """
    Erase what is personal about these events of one log, and say so in it.

    The events stay and stay verifiable: what they commit to can no longer be guessed. Returns how
    many details there were.
    """
    erased, _by_model = AuditDetail.objects.filter(
        event_id__in=event_ids, log=log_name(log)
    ).delete()
    append(
        event_type=EventType.DETAIL_ERASED,
        actor=actor,
        now=now,
        log=log,
        facts={"count": erased, "reason": reason},
    )
    return erased
