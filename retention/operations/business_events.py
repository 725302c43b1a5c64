"""Takes in that contracts ended and claims were closed, and covers anew what that concerns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef

from accounts.models import Controller
from audit.events import Actor, EventType, NewEvent, Target
from audit.operations import append_many
from recordings.keyring import Keyring
from recordings.models import BusinessReference, Conversation
from recordings.operations.hashing import reference_hash
from retention.contacts import PREFETCH
from retention.event_queries import concerned_by, count_concerned
from retention.models import BusinessEvent
from retention.operations.cover import cover_anew
from retention.operations.recompute import request_recomputation
from retention.operations.rule_lock import change_alone
from retention.queries import last_change, rule_book

ACTOR = Actor.system("business_event")
# So many conversations are covered anew in the transaction that takes the events in; more are left
# to the re-computation, so that captures do not wait for them.
AT_ONCE = 500
LONGEST_REFERENCE = 250
# How far the clock of another system may be ahead of ours.
CLOCK_SKEW = timedelta(minutes=5)
_Key = tuple[str, bytes]


class EventRefused(Exception):
    """What was said is no event that can be counted from; the sentence never quotes it."""


@dataclass(frozen=True, slots=True)
class NewBusinessEvent:
    """What another system says: which event, the number of the contract or claim, and when."""

    event_type: str
    reference: str
    happened_at: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many events were new and how many known, and how many conversations they concern."""

    new: int
    known: int
    conversations: int


def check_event(event: NewBusinessEvent, *, now: datetime) -> None:
    """Raise EventRefused unless the event is one that rules can count from."""
    if event.event_type not in BusinessEvent.Type.values:
        raise EventRefused(f"The event is none of {', '.join(BusinessEvent.Type.values)}.")
    if not event.reference.strip() or len(event.reference) > LONGEST_REFERENCE:
        raise EventRefused(f"The reference is empty or longer than {LONGEST_REFERENCE} characters.")
    if event.happened_at > now + CLOCK_SKEW:
        raise EventRefused("The event is still to come: say so when it has happened.")


@transaction.atomic
def record_events(
    *,
    controller: Controller,
    events: Sequence[NewBusinessEvent],
    keyring: Keyring,
    now: datetime,
) -> Recorded:
    """
    Record the events, all or none, and have what they concern covered by the rules anew.

    Of several for one reference the last counts. What is known already changes nothing, so that a
    delivery can be repeated. Up to AT_ONCE conversations are covered anew at once, more by the
    re-computation.

    Raises EventRefused; KeyringUnavailable: try again later.
    """
    for event in events:
        check_event(event, now=now)
    said = {_key(event, controller, keyring): event.happened_at for event in events}
    # A capture under way would know neither the event nor be known to it.
    change_alone(controller.pk)
    known = _known(controller, said)
    rows = [
        BusinessEvent(
            controller=controller,
            event_type=event_type,
            reference_hash=hashed,
            happened_at=happened_at,
            recorded_at=now,
        )
        for (event_type, hashed), happened_at in said.items()
        if known.get((event_type, hashed)) != happened_at
    ]
    BusinessEvent.objects.bulk_create(rows, batch_size=1000)
    references = [(_kind(row.event_type), bytes(row.reference_hash)) for row in rows]
    counts = count_concerned(controller=controller, references=references)
    append_many(
        events=[
            NewEvent(
                event_type=EventType.BUSINESS_EVENT_RECORDED,
                actor=ACTOR,
                now=now,
                log=controller.pk,
                target=Target("business_event", str(row.pk)),
                facts={
                    "kind": row.event_type,
                    "from": row.happened_at,
                    "conversations": counts.get(reference, 0),
                },
            )
            for row, reference in zip(rows, references, strict=True)
        ]
    )
    concerned = _cover(controller, references, keyring, now) if rows else 0
    return Recorded(new=len(rows), known=len(events) - len(rows), conversations=concerned)


@transaction.atomic
def delete_past(*, now: datetime) -> int:
    """
    Delete events that were recorded long ago and whose number nothing bears that is kept.

    What is captured later about such a number ends at its cap. Returns how many there were.
    """
    borne = BusinessReference.objects.filter(
        reference_hash=OuterRef("reference_hash"),
        conversation__state=Conversation.State.KEPT,
    )
    past = BusinessEvent.objects.filter(
        ~Exists(borne),
        recorded_at__lt=now - timedelta(days=settings.BUSINESS_EVENT_KEPT_DAYS),
    )
    return past.delete()[0]


def _cover(
    controller: Controller, references: Sequence[tuple[str, bytes]], keyring: Keyring, now: datetime
) -> int:
    concerned = concerned_by(controller=controller, references=references)
    count = concerned.count()
    if count > AT_ONCE:
        request_recomputation(controller=controller, now=now)
        return count
    book = rule_book(controller=controller, at=max(now, last_change(controller) or now))
    rows = (
        concerned.select_for_update(no_key=True, of=("self",))
        .select_related("controller")
        .prefetch_related(*PREFETCH)
        .order_by("pk")
    )
    cover_anew(conversations=list(rows), book=book, now=now, keyring=keyring)
    return count


def _key(event: NewBusinessEvent, controller: Controller, keyring: Keyring) -> _Key:
    hashed = reference_hash(
        keyring=keyring,
        controller_id=controller.pk,
        kind=_kind(event.event_type),
        value=event.reference,
    )
    return event.event_type, hashed


def _kind(event_type: str) -> str:
    return BusinessEvent.REFERS_TO[BusinessEvent.Type(event_type)].value


def _known(controller: Controller, said: dict[_Key, datetime]) -> dict[_Key, datetime]:
    """What counts so far, of those that are said now."""
    known: dict[_Key, datetime] = {}
    for row in BusinessEvent.objects.newest_first().filter(
        controller=controller, reference_hash__in=[hashed for _type, hashed in said]
    ):
        known.setdefault((row.event_type, bytes(row.reference_hash)), row.happened_at)
    return known
