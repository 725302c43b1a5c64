"""Questions about what happened to contracts and claims, and whom it concerns."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import Count, QuerySet

from accounts.models import Controller
from recordings.models import BusinessReference, Conversation
from retention.models import BusinessEvent


def events_of(conversation: Conversation, *, at: datetime | None) -> dict[str, datetime]:
    """
    When what the conversation is about met its end, by type of event, as known at that time or now.

    Of several claims all must be closed, and the last one counts; so with contracts.
    """
    references = list(conversation.references.all())
    if not references:
        return {}
    known: dict[tuple[str, bytes], datetime] = {}
    events = BusinessEvent.objects.newest_first(known_at=at).filter(
        controller=conversation.controller_id,
        reference_hash__in=[reference.reference_hash for reference in references],
    )
    for event in events:
        known.setdefault((event.event_type, bytes(event.reference_hash)), event.happened_at)
    found = {}
    for event_type, kind in BusinessEvent.REFERS_TO.items():
        ends = [
            known.get((event_type.value, bytes(reference.reference_hash)))
            for reference in references
            if reference.kind == kind
        ]
        come = [end for end in ends if end is not None]
        if ends and len(come) == len(ends):
            found[event_type.value] = max(come)
    return found


def concerned_by(
    *, controller: Controller, references: Collection[tuple[str, bytes]]
) -> QuerySet[Conversation]:
    """The kept conversations that are about one of these, given as kind and hash."""
    about = BusinessReference.objects.filter(
        reference_hash__in=[reference_hash for _kind, reference_hash in references]
    )
    return Conversation.objects.kept().filter(
        controller=controller, pk__in=about.values("conversation")
    )


def count_concerned(
    *, controller: Controller, references: Collection[tuple[str, bytes]]
) -> dict[tuple[str, bytes], int]:
    """How many kept conversations are about each of these, given as kind and hash."""
    rows = (
        BusinessReference.objects.filter(
            conversation__controller=controller,
            conversation__state=Conversation.State.KEPT,
            reference_hash__in=[reference_hash for _kind, reference_hash in references],
        )
        .values_list("kind", "reference_hash")
        .annotate(count=Count("pk"))
        .order_by()
    )
    return {(kind, bytes(hashed)): count for kind, hashed, count in rows}
