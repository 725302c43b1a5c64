"""What bars destruction before its hold is placed."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from recordings.models import Conversation
from retention.holding import awaiting_their_holds
from retention.operations.rule_lock import wait_for_change


def barred_by_criteria(*, conversation_ids: Sequence[UUID]) -> set[UUID]:
    """
    Those that match a criterion which is set and has not come to them yet.

    Holds back whoever sets one for their companies until this transaction ends. Call it before
    the conversations are locked.
    """
    rows = Conversation.objects.filter(pk__in=conversation_ids).order_by()
    controllers = sorted(set(rows.values_list("controller_id", flat=True)))
    for controller_id in controllers:
        wait_for_change(controller_id)
    # In statements of its own: they see what was committed while we waited.
    return awaiting_their_holds(conversation_ids=conversation_ids, controllers=controllers)
