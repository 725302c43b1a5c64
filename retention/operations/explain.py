"""Explains a conversation to a person, and writes that she asked."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from audit.events import Actor, EventType, Target
from audit.operations import append
from recordings.models import Conversation
from retention.explaining import explanation_of
from retention.explanation import Explanation


class ConversationUnknown(Exception):
    """There never was a conversation of that id."""

    def __init__(self) -> None:
        super().__init__(_("There is no conversation of that id."))


class NotThatTime(Exception):
    """The time asked about is yet to come, or from before the conversation was captured."""

    def __init__(self) -> None:
        super().__init__(_("Ask about a time since the conversation was captured, until now."))


@transaction.atomic
def explain(
    *, conversation_id: UUID, actor: Actor, now: datetime, at: datetime | None = None
) -> Explanation:
    """
    Return why the conversation is kept, or what became of it; one that was destroyed too.

    With `at` it is the answer that was given at that time. Who may ask is for the way in to
    check.

    Raises ConversationUnknown, NotThatTime.
    """
    conversation = (
        Conversation.objects.select_related("controller", "source")
        .filter(pk=conversation_id)
        .first()
    )
    if conversation is None:
        raise ConversationUnknown
    if at is not None and not conversation.captured_at <= at <= now:
        raise NotThatTime
    explanation = explanation_of(conversation, at=at or now, asked_at=now if at else None)
    append(
        event_type=EventType.CONVERSATION_EXPLAINED,
        actor=actor,
        now=now,
        log=conversation.controller_id,
        target=Target("conversation", str(conversation.pk)),
        facts={
            "state": explanation.state,
            "uses": len(explanation.purposes),
            "held": explanation.hold_count,
            "destroy_after": explanation.destroy_after,
            "until": at,
        },
    )
    return explanation
