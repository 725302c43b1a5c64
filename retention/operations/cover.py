"""Decides what a conversation may be used for, when it is captured and when rules change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import transaction

from audit.events import Actor, EventType, FactValue, NewEvent, Target
from audit.operations import append_many
from recordings.keyring import Keyring
from recordings.models import Conversation
from recordings.operations.uses import NewUse, write_uses, write_uses_of_many
from retention.matching import Decision
from retention.operations.criteria import hold_if_matched
from retention.operations.rule_lock import wait_for_change
from retention.queries import RuleBook, decisions_for, last_change, rule_book

ACTOR = Actor.system("cover")


@transaction.atomic
def cover(*, conversation: Conversation, now: datetime, keyring: Keyring | None = None) -> None:
    """
    Write the uses that the rules in force give a conversation that has just been captured.

    What no rule matches gets none: it is closed to everybody, red on the compliance page, and ends
    when nobody decides about it in time. Where it matches criteria of matters, it is held. With a
    keyring the content key goes under the key of the month in which the conversation ends, or the
    open one if it is held.

    Raises:
        NotKept: it is withdrawn or destroyed.
        KeyringUnavailable, KeyMissing, KeyDoesNotFit: nothing was written.
    """
    controller = conversation.controller
    wait_for_change(controller.pk)
    # A capture that began before a change of rules and comes to this after it goes by the change.
    book = rule_book(controller=controller, at=max(now, last_change(controller) or now))
    decisions = decisions_for(conversation, book=book)
    uses = uses_from(decisions, conversation=conversation)
    write_uses(conversation=conversation, uses=uses, keyring=keyring, now=now)
    append_many(events=[_covered(conversation, uses, decisions, now)])
    hold_if_matched(conversation=conversation, keyring=keyring, now=now)


@transaction.atomic
def cover_anew(
    *,
    conversations: Sequence[Conversation],
    book: RuleBook,
    now: datetime,
    keyring: Keyring | None = None,
) -> int:
    """
    Write the uses that the book gives conversations of one company that were covered before.

    Prefetch `contacts.PREFETCH`. Returns of how many anything changed; only those have an event.
    Raises as `write_uses_of_many` does.
    """
    decisions = {one.pk: decisions_for(one, book=book) for one in conversations}
    uses = {one.pk: uses_from(decisions[one.pk], conversation=one) for one in conversations}
    changed = write_uses_of_many(uses=uses, keyring=keyring, now=now)
    append_many(
        events=[_covered(row, uses[pk], decisions[pk], now) for pk, row in sorted(changed.items())]
    )
    return len(changed)


def uses_from(decisions: Iterable[Decision], *, conversation: Conversation) -> list[NewUse]:
    """One use per purpose that some rule opens, from the end of the conversation on."""
    return [
        NewUse(
            purpose=decision.purpose,
            from_at=conversation.ended_at,
            until_at=decision.until_at,
            authority=decision.decides,
        )
        for decision in decisions
        if decision.decides is not None and decision.until_at is not None
    ]


def _why_closed(decisions: Sequence[Decision]) -> str:
    if any(decision.excluded_by and decision.matches for decision in decisions):
        return "excluded"
    if any(decision.matches for decision in decisions):
        return "article_9_condition_missing"
    return "no_rule"


def _covered(
    conversation: Conversation, uses: list[NewUse], decisions: Sequence[Decision], now: datetime
) -> NewEvent:
    facts: dict[str, FactValue] = {
        "rules": sorted(use.authority for use in uses),
        "uses": len(uses),
    }
    facts["destroy_after"] = conversation.destroy_after
    if conversation.uncovered_at is not None:
        facts["reason"] = _why_closed(decisions)
    return NewEvent(
        event_type=EventType.CONVERSATION_COVERED,
        actor=ACTOR,
        now=now,
        log=conversation.controller_id,
        target=Target("conversation", str(conversation.pk)),
        facts=facts,
    )
