"""Opens conversations to the named handlers of a matter, and closes them again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts.models import Purpose
from recordings.models import PermittedUse

PURPOSE_CODE = "matter"


@transaction.atomic
def permit_for_matter(
    *,
    conversation_ids: Sequence[UUID],
    matter_id: UUID,
    handlers: Sequence[UUID],
    from_at: datetime,
    until_at: datetime,
) -> None:
    """
    Let each handler, by id, use each of the conversations for the matter between the two times.

    Where an earlier use of the same matter has ended, it begins anew.
    """
    if not conversation_ids or not handlers:
        return
    purpose = Purpose.objects.get(code=PURPOSE_CODE)
    PermittedUse.objects.bulk_create(
        (
            PermittedUse(
                conversation_id=conversation_id,
                purpose=purpose,
                from_at=from_at,
                until_at=until_at,
                authority_kind=PermittedUse.AuthorityKind.MATTER,
                authority=matter_id,
                only_for_id=handler,
            )
            for conversation_id in conversation_ids
            for handler in handlers
        ),
        update_conflicts=True,
        unique_fields=["conversation", "purpose", "authority", "only_for"],
        update_fields=["from_at", "until_at"],
        batch_size=1000,
    )


@transaction.atomic
def end_for_matter(*, conversation_ids: Sequence[UUID], matter_id: UUID, now: datetime) -> None:
    """End what the matter permits on these conversations: from that instant nobody has it by it."""
    permitted = PermittedUse.objects.filter(
        conversation__in=conversation_ids,
        authority_kind=PermittedUse.AuthorityKind.MATTER,
        authority=matter_id,
        until_at__gt=now,
    )
    permitted.filter(from_at__gte=now).delete()
    permitted.filter(from_at__lt=now).update(until_at=now)
