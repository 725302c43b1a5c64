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


@transaction.atomic
def explain(*, conversation_id: UUID, actor: Actor, now: datetime) -> Explanation:
    """
    Return why the conversation is kept, or what became of it; one that was destroyed too.

    Who may ask is for the way in to check. Raises ConversationUnknown.
    """
    conversation = (
        Conversation.objects.select_related("controller", "source")
        .filter(pk=conversation_id)
        .first()
    )
    if conversation is None:
        raise ConversationUnknown
    explanation = explanation_of(conversation, at=now)
    append(
        event_type=EventType.CONVERSATION_EXPLAINED,
        actor=actor,
        now=now,
        log=conversation.controller_id,
        target=Target("conversation", str(conversation.pk)),
        facts={
            "state": conversation.state,
            "uses": len(explanation.purposes),
            "held": conversation.hold_count,
            "destroy_after": conversation.destroy_after,
        },
    )
    return explanation
