"""What a purge run would take, what bars the rest, and whether there is much more than usual."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Max, Q

from recordings.models import Conversation, StoredObject, among
from retention.models import Hold, PurgeRun

USUAL_DAYS = 30


@dataclass(frozen=True, slots=True)
class Counts:
    """Conversations whose time is over, by what becomes of them."""

    due: int
    held: int
    requested: int
    observed: int


@dataclass(frozen=True, slots=True)
class Barred:
    """A conversation whose time is over and that a hold keeps, with the matters that hold it."""

    conversation_id: UUID
    matters: tuple[UUID, ...]


def counts(*, at: datetime) -> Counts:
    """Count the kept conversations whose time is over."""
    is_due = Q(pk__in=Conversation.objects.due(at=at).values("pk"))
    # In one statement: between two, a hold that is placed would be counted twice.
    found = (
        Conversation.objects.kept()
        .filter(destroy_after__lte=at)
        .aggregate(
            everything=Count("pk"),
            due=Count("pk", filter=is_due),
            held=Count("pk", filter=Q(hold_count__gt=0)),
            requested=Count("pk", filter=Q(hold_count=0, open_requests__gt=0)),
        )
    )
    everything = found.pop("everything")
    return Counts(**found, observed=everything - sum(found.values()))


def batches(*, at: datetime, size: Callable[[], int]) -> Iterator[list[UUID]]:
    """
    The conversations due at that time, in batches, oldest end first.

    Each batch is asked for when the one before is done. It is a proposal: what is withdrawn is
    asked again under lock. Left out until the next run is what the store still holds for a hold
    that has been lifted.
    """
    after: tuple[datetime, UUID] | None = None
    while True:
        due = Conversation.objects.due(at=at)
        if after is not None:
            end, last = after
            due = due.filter(
                Q(destroy_after__gt=end) | Q(destroy_after=end, pk__gt=last),
                destroy_after__gte=end,
            )
        page = list(
            due.order_by("destroy_after", "pk").values_list("destroy_after", "pk")[: size()]
        )
        if not page:
            return
        ids = [pk for _, pk in page]
        still_held = set(
            StoredObject.objects.filter(among("conversation_id", ids), legal_hold=True).values_list(
                "conversation_id", flat=True
            )
        )
        if free := [pk for pk in ids if pk not in still_held]:
            yield free
        last_end, last_id = page[-1]
        assert last_end is not None
        after = (last_end, last_id)


def barred(*, at: datetime) -> list[Barred]:
    """The conversations whose time is over and that holds keep, oldest end first."""
    held = (
        Conversation.objects.kept()
        .filter(destroy_after__lte=at, hold_count__gt=0)
        .order_by("destroy_after", "pk")
        .values_list("pk", flat=True)
    )
    matters: dict[UUID, list[UUID]] = {pk: [] for pk in held}
    active = Hold.objects.filter(lifted_at=None, conversation__in=list(matters))
    for conversation_id, matter_id in active.values_list("conversation_id", "matter_id"):
        matters[conversation_id].append(matter_id)
    return [Barred(pk, tuple(sorted(set(found)))) for pk, found in matters.items()]


def is_much_more_than_usual(*, due: int, at: datetime) -> bool:
    """
    Whether the brake should stop a run of this size.

    Source: design, *A brake*: a setting times the largest run of the last 30 days, and over a
    minimum below which no run is large.
    """
    if due <= settings.PURGE_BRAKE_MINIMUM:
        return False
    runs = PurgeRun.objects.filter(
        state=PurgeRun.State.FINISHED, started_at__gt=at - timedelta(days=USUAL_DAYS)
    )
    largest: int = runs.aggregate(largest=Max("due_count"))["largest"] or 0
    return due > settings.PURGE_BRAKE_FACTOR * largest
