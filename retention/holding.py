"""Questions about matters: what their criteria match, and what awaits somebody."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from accounts.models import Controller
from recordings.models import Conversation, Party
from retention.matching import Matchers
from retention.models import Criterion, Hold, Lifting, Matter
from retention.queries import spoken_of


class Description(Matchers, Protocol):
    """What a criterion says, whether or not it has been set yet."""

    @property
    def source_id(self) -> UUID | None:
        """The system it was captured from."""

    @property
    def ended_from(self) -> datetime | None:
        """It ended then or later."""

    @property
    def ended_until(self) -> datetime | None:
        """It ended before that."""

    @property
    def agent(self) -> UUID | None:
        """Reference of the person who was an agent in it."""

    @property
    def customer_hash(self) -> bytes | memoryview | None:
        """Keyed hash of an identifier of a customer in it."""


def described_by(one: Description) -> Q:
    """Say which conversations match all that the description says."""
    matches = spoken_of(one)
    if one.source_id is not None:
        matches &= Q(source=one.source_id)
    if one.ended_from is not None:
        matches &= Q(ended_at__gte=one.ended_from)
    if one.ended_until is not None:
        matches &= Q(ended_at__lt=one.ended_until)
    parties = Party.objects.filter(conversation=OuterRef("pk"))
    if one.agent is not None:
        matches &= Q(Exists(parties.filter(role=Party.Role.AGENT, user__reference=one.agent)))
    if one.customer_hash is not None:
        subjects = parties.filter(
            role=Party.Role.CUSTOMER, data_subject__identifier_hash=bytes(one.customer_hash)
        )
        matches &= Q(Exists(subjects))
    return matches


def matching(one: Description, *, controller_id: UUID) -> QuerySet[Conversation]:
    """The company's conversations that match, but for those destroyed."""
    return (
        Conversation.objects.filter(controller=controller_id)
        .exclude(state=Conversation.State.DESTROYED)
        .filter(described_by(one))
    )


def left_of(criterion: Criterion) -> QuerySet[Conversation]:
    """What the criterion has still to go through, in its order."""
    placed = Hold.objects.filter(criterion=criterion, conversation=OuterRef("pk"))
    rows = matching(criterion, controller_id=criterion.matter.controller_id)
    if criterion.reached is not None:
        rows = rows.filter(pk__gt=criterion.reached)
    return rows.exclude(Exists(placed)).order_by("pk")


def awaiting_their_holds(
    *,
    conversation_ids: Collection[UUID],
    controllers: Collection[UUID],
    set_by: datetime | None = None,
) -> set[UUID]:
    """
    Those of these companies' that match a criterion which has not come to them yet.

    `set_by` is a time by which the criterion had been set.
    """
    unapplied = Criterion.objects.unapplied().filter(matter__controller__in=controllers)
    if set_by is not None:
        unapplied = unapplied.filter(set_at__lte=set_by)
    return {
        pk
        for criterion in unapplied.select_related("matter")
        for pk in left_of(criterion).filter(pk__in=conversation_ids).values_list("pk", flat=True)
    }


def matters_of(*, controllers: Collection[Controller]) -> QuerySet[Matter]:
    """The matters with `holds_active`, how many conversations each holds."""
    holds = (
        Hold.objects.active()
        .filter(matter=OuterRef("pk"))
        .order_by()
        .values("matter")
        .annotate(number=Count("conversation", distinct=True))
        .values("number")
    )
    return (
        Matter.objects.filter(controller__in=controllers)
        .select_related("controller")
        .annotate(holds_active=Coalesce(Subquery(holds), 0))
    )


def matters_to_review(*, at: datetime) -> QuerySet[Matter]:
    """The open matters that are to be looked at again, the one that waits longest first."""
    return Matter.objects.filter(closed_at=None, review_at__lte=at).order_by("review_at", "pk")


def matters_standing_still(*, since: datetime) -> list[UUID]:
    """The matters at whose criteria or liftings a worker should be and has not been since then."""
    criteria = Criterion.objects.unapplied().annotate(heard_at=Coalesce("heartbeat_at", "set_at"))
    liftings = Lifting.objects.unfinished().annotate(heard_at=Coalesce("heartbeat_at", "agreed_at"))
    return sorted(
        {
            matter
            for rows in (criteria, liftings)
            for matter in rows.filter(heard_at__lt=since).values_list("matter_id", flat=True)
        }
    )


def liftings_waiting(*, controllers: Collection[Controller]) -> QuerySet[Lifting]:
    """The proposals that wait for a second person, oldest first."""
    return (
        Lifting.objects.open()
        .filter(matter__controller__in=controllers)
        .select_related("matter", "proposed_by")
        .order_by("proposed_at", "pk")
    )
