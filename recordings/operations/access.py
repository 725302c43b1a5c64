"""Opens a conversation to one person for one purpose, or refuses; either is an event first."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn
from uuid import UUID

from django.db.models import OuterRef, Q, Subquery, Value
from django.db.models.fields import TextField
from django.db.models.functions import Cast, Concat

from accounts.models import Purpose, User
from accounts.queries import actor_for
from audit.events import Actor, EventType, FactValue, NewEvent, Target
from audit.operations import AuditUnavailable, accountable, append_alone, append_many
from recordings.models import Conversation, Party, PermittedUse


class AccessRefused(Exception):
    """The conversation does not exist, or is not open to this person for this purpose, now."""

    def __init__(self) -> None:
        super().__init__("There is no such conversation.")


@dataclass(frozen=True, slots=True)
class Looker:
    """Who looks, for which purpose, and when she came."""

    user: User
    purpose: Purpose
    at: datetime


def open_conversation(
    *,
    looker: Looker,
    conversation_id: UUID,
    event_type: EventType,
    target: Target | None = None,
    facts: dict[str, FactValue] | None = None,
    refused_as: EventType = EventType.CONVERSATION_REFUSED,
    refused_facts: dict[str, FactValue] | None = None,
) -> Conversation:
    """
    Ask the access rule and commit the event; only then may content leave.

    Raises AccessRefused (which is logged) and AuditUnavailable (then nothing may leave).

    Source: design, laws 1 and 2.
    """
    with accountable():
        conversation = _find(looker=looker, conversation_id=conversation_id)
        if conversation is not None:
            append_many(
                events=[
                    NewEvent(
                        event_type=event_type,
                        actor=actor_for(user=looker.user, at=looker.at),
                        now=looker.at,
                        log=conversation.controller_id,
                        target=target or Target("conversation", str(conversation.pk)),
                        conversation=conversation.pk,
                        subject=conversation.subject,  # type: ignore[attr-defined]
                        purpose=looker.purpose.code,
                        basis=conversation.basis,  # type: ignore[attr-defined]
                        facts=facts,
                    )
                ]
            )
    if conversation is None:
        refuse(
            looker=looker,
            conversation_id=conversation_id,
            event_type=refused_as,
            facts=refused_facts,
        )
    return conversation


def _find(*, looker: Looker, conversation_id: UUID) -> Conversation | None:
    uses = (
        PermittedUse.objects.filter(conversation=OuterRef("pk"))
        .current(purpose=looker.purpose, at=looker.at)
        .filter(Q(only_for=None) | Q(only_for=looker.user))
        .order_by("-until_at")
    )
    customers = Party.objects.filter(
        conversation=OuterRef("pk"), role=Party.Role.CUSTOMER, data_subject__isnull=False
    )
    return (
        Conversation.objects.open_to(user=looker.user, purpose=looker.purpose, at=looker.at)
        .filter(pk=conversation_id)
        .annotate(
            basis=Subquery(
                uses.annotate(
                    named=Concat(
                        "authority_kind",
                        Value(":"),
                        Cast("authority", TextField()),
                        output_field=TextField(),
                    )
                ).values("named")[:1]
            ),
            open_until=Subquery(uses.values("until_at")[:1]),
            subject=Subquery(customers.order_by("position").values("data_subject_id")[:1]),
        )
        .select_related("controller", "source")
        .first()
    )


def refuse(
    *,
    looker: Looker,
    conversation_id: UUID | None,
    event_type: EventType,
    facts: dict[str, FactValue] | None = None,
) -> NoReturn:
    """
    Log the refusal in a transaction of its own, and refuse.

    It stays a refusal when it cannot be logged. What does not exist and what is not hers look
    alike to the person; the log says which it was. Raises AccessRefused.
    """
    known = (
        Conversation.objects.filter(pk=conversation_id).only("controller", "state").first()
        if conversation_id
        else None
    )
    try:
        append_alone(
            event_type=event_type,
            actor=actor_for(user=looker.user, at=looker.at),
            now=looker.at,
            log=known.controller_id if known else None,
            target=Target("conversation", str(known.pk)) if known else None,
            conversation=known.pk if known else None,
            purpose=looker.purpose.code,
            facts={
                **(facts or {}),
                "reason": "not_open" if known else "not_found",
                **({"state": known.state} if known else {}),
            },
        )
    except AuditUnavailable as unlogged:
        raise AccessRefused from unlogged
    raise AccessRefused


def raise_incident(*, target: Target, step: str, now: datetime) -> None:
    """
    Log that content was found altered, cut or moved when it was to be given out.

    It was refused already; when it cannot be logged, the log lines of the process say so.
    """
    with suppress(AuditUnavailable):
        append_alone(
            event_type=EventType.INCIDENT_RAISED,
            actor=Actor.system("playback"),
            now=now,
            log=None,
            target=target,
            facts={"kind": "content_altered", "step": step},
        )
