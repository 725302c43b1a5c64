"""Sets criteria, and holds what matches them: what was there before, and what is captured later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

from celery import current_app
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.queries import actor_for
from audit.events import Actor, EventType, Target
from audit.operations import append
from recordings.formats.checks import identifier
from recordings.keyring import KeyDoesNotFit, KeyMissing, Keyring
from recordings.models import Conversation
from recordings.operations.hashing import identifier_hash
from retention.holding import left_of, matching
from retention.models import Criterion, Matter
from retention.operations.holds import lock_matter
from retention.operations.placing import PlacedHolds, place
from retention.operations.rule_lock import change_alone
from retention.permissions import check_can_hold

ACTOR = Actor.system("criteria")
TASK = "retention.tasks.apply_criteria"
BATCH_SIZE = 200


class CriterionSaysNothing(Exception):
    """Without a word it would hold everything that the company has and will have."""

    def __init__(self) -> None:
        super().__init__(_("Say at least one thing of what is to be held."))


class EndsBeforeItBegins(Exception):
    """Nothing ends between the two times."""

    def __init__(self) -> None:
        super().__init__(_("The second date must come after the first."))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a criterion shall say; see `retention.models.Criterion`."""

    kinds: tuple[str, ...] = ()
    teams: tuple[UUID, ...] = ()
    queues: tuple[UUID, ...] = ()
    source_id: UUID | None = None
    ended_from: datetime | None = None
    ended_until: datetime | None = None
    agent: UUID | None = None
    customer_hash: bytes | None = None

    def said(self) -> dict[str, object]:
        """The fields that say something."""
        named = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in named.items() if value not in (None, ())}


def customer_hash(*, matter: Matter, kind: str, value: str, keyring: Keyring) -> bytes:
    """
    Hash a telephone number or an address as captures of the matter's company do.

    `kind` is that of the identifier, such as "tel". Raises KeyringUnavailable.
    """
    kind, value = identifier(kind, value)
    return identifier_hash(
        keyring=keyring, controller_id=matter.controller_id, kind=kind, value=value
    )


def count_matching(*, matter: Matter, draft: Draft) -> int:
    """
    How many conversations that are there now a criterion would hold.

    Raises CriterionSaysNothing, EndsBeforeItBegins.
    """
    _check(draft)
    return matching(draft, controller_id=matter.controller_id).count()


@transaction.atomic
def set_criterion(*, matter: Matter, draft: Draft, set_by: User, now: datetime) -> Criterion:
    """
    Hold for the matter whatever matches, from the commit on.

    Nothing that matches is destroyed from then on; holds are placed by a worker, batch by batch,
    and by each capture. What a purge run had withdrawn comes back while its key exists.

    Raises NotEntitled, MatterClosed, CriterionSaysNothing, EndsBeforeItBegins.
    """
    total = count_matching(matter=matter, draft=draft)
    # Captures under way are there when it is applied, later ones see it; so does a purge.
    change_alone(matter.controller_id)
    matter = lock_matter(matter)
    check_can_hold(user=set_by, controller=matter.controller)
    criterion = Criterion.objects.create(
        matter=matter, set_at=now, set_by=set_by, total_count=total, **draft.said()
    )
    append(
        event_type=EventType.CRITERION_SET,
        actor=actor_for(user=set_by, at=now),
        now=now,
        log=matter.controller_id,
        target=Target("criterion", str(criterion.pk)),
        facts={"matter": matter.pk, "conversations": total, "filters": sorted(draft.said())},
    )
    transaction.on_commit(lambda: current_app.send_task(TASK, retry=False), robust=True)
    return criterion


@transaction.atomic
def apply_next(*, now: datetime, keyring: Keyring, batch_size: int = BATCH_SIZE) -> UUID | None:
    """
    Hold the next conversations of the criterion that has waited longest.

    Each call is one transaction: killed, it leaves the pass where the last call ended. Several
    workers at once take different matters. Returns the criterion's id, or None when there is
    nothing to do.

    Raises KeyringUnavailable: try again later.
    """
    criterion = (
        Criterion.objects.unapplied()
        .select_for_update(skip_locked=True, of=("self", "matter"), no_key=True)
        .select_related("matter", "set_by")
        .order_by("set_at", "pk")
        .first()
    )
    if criterion is None:
        return None
    ids = list(left_of(criterion).values_list("pk", flat=True)[:batch_size])
    placed = place_anyway(criterion=criterion, conversation_ids=ids, keyring=keyring, now=now)
    criterion.done_count += len(ids)
    criterion.too_late_count += sum(len(each.too_late) for each in placed)
    criterion.heartbeat_at = now
    if ids:
        criterion.reached = ids[-1]
    else:
        criterion.applied_at = now
        append(
            event_type=EventType.CRITERION_APPLIED,
            actor=ACTOR,
            now=now,
            log=criterion.matter.controller_id,
            target=Target("criterion", str(criterion.pk)),
            facts={
                "matter": criterion.matter_id,
                "conversations": criterion.done_count,
                "too_late": criterion.too_late_count,
            },
        )
    criterion.save(
        update_fields=["done_count", "too_late_count", "heartbeat_at", "reached", "applied_at"]
    )
    return criterion.pk


def place_anyway(
    *, criterion: Criterion, conversation_ids: Sequence[UUID], keyring: Keyring, now: datetime
) -> list[PlacedHolds]:
    """Hold them; a content key that is lost must not leave its conversation unheld."""
    if not conversation_ids:
        return []

    def placed(ids: Sequence[UUID], ring: Keyring | None) -> PlacedHolds:
        return place(
            matter=criterion.matter,
            criterion=criterion,
            conversation_ids=ids,
            placed_by=criterion.set_by,
            actor=ACTOR,
            keyring=ring,
            now=now,
        )

    return anyway(placed, conversation_ids, keyring)


def anyway(
    deed: Callable[[Sequence[UUID], Keyring | None], PlacedHolds],
    conversation_ids: Sequence[UUID],
    keyring: Keyring,
) -> list[PlacedHolds]:
    """Do the deed for all at once; where a key is lost, for each, and leave such keys alone."""
    try:
        return [deed(conversation_ids, keyring)]
    except (KeyMissing, KeyDoesNotFit):
        done = []
        for pk in conversation_ids:
            try:
                done.append(deed([pk], keyring))
            except (KeyMissing, KeyDoesNotFit):
                done.append(deed([pk], None))
        return done


def hold_if_matched(
    *, conversation: Conversation, keyring: Keyring | None, now: datetime
) -> list[UUID]:
    """
    Hold a conversation that is being captured for each criterion that it matches.

    Call it in the transaction of the capture, after `wait_for_change`: a criterion set, dropped
    or closed meanwhile comes before it or after it. Returns the criteria.

    Raises KeyringUnavailable, KeyMissing, KeyDoesNotFit: nothing was held.
    """
    standing = Criterion.objects.standing().filter(matter__controller=conversation.controller_id)
    matched = [
        criterion
        for criterion in standing.select_related("matter", "set_by")
        if matching(criterion, controller_id=conversation.controller_id)
        .filter(pk=conversation.pk)
        .exists()
    ]
    for criterion in matched:
        place(
            matter=criterion.matter,
            criterion=criterion,
            conversation_ids=[conversation.pk],
            placed_by=criterion.set_by,
            actor=ACTOR,
            keyring=keyring,
            now=now,
        )
    return [criterion.pk for criterion in matched]


def _check(draft: Draft) -> None:
    if not draft.said():
        raise CriterionSaysNothing
    if draft.ended_from and draft.ended_until and draft.ended_until <= draft.ended_from:
        raise EndsBeforeItBegins
