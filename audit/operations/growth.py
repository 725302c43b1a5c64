"""Decides how long a log is kept, holds it, and cuts from it what is past."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from audit import bodies, cuts, trees
from audit.events import Actor, EventType, NewEvent, Target, log_name, log_of
from audit.models import Cut, LogHold, LogTerm
from audit.operations.events import append

ACTOR = Actor.system("cutter")

REFUSALS: dict[str, Promise | str] = {
    "audit_cut_held": _("The log is held: nothing of it is cut."),
    "audit_cut_too_young": _("These months are still within the term of the log."),
    "audit_cut_unsealed": _("Some of these events are not sealed yet."),
    "audit_cut_unanchored": _("Some of these events are not anchored yet."),
    "audit_cut_empty": _("There is nothing to cut."),
    "audit_cut_not_agreed": _("A second person has not agreed to this cut."),
    "audit_cut_agreed_by_another": _("Whoever proposed a cut cannot agree to it."),
    "audit_cut_done": _("This cut is done already."),
    "audit_cut_replaced": _("Another cut was proposed since."),
    # Two propose at the same time.
    "audit_cut_one_is_open": _("Another cut was proposed since."),
    "audit_cut_changed": _("What is to be cut has changed since: propose it anew."),
    "audit_cut_unknown": _("There is no such cut."),
}
MISSING = "audit_cut_unknown"


class CutRefused(Exception):
    """The log is not cut, for a reason fit to show; `rule` is the name of what forbids it."""

    def __init__(self, rule: str) -> None:
        super().__init__(REFUSALS[rule])
        self.rule = rule


class TermRefused(Exception):
    """A log is not kept so long, or not so short."""


@transaction.atomic
def change_term(
    *, log: UUID | None, months: int, legal_reason: str, actor: Actor, now: datetime
) -> LogTerm:
    """
    Keep a log that many calendar months from now on: 6 to 36, longer only with a legal reason.

    Raises TermRefused.
    """
    if not cuts.SHORTEST_MONTHS <= months <= cuts.LONGEST_WITH_REASON:
        raise TermRefused(_("A log is kept for 6 months at least, and for 600 at most."))
    if months > cuts.LONGEST_MONTHS and not legal_reason.strip():
        raise TermRefused(_("More than 36 months need a legal reason."))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_log_term (log, months, legal_reason, set_by) "
            "VALUES (%s, %s, %s, %s)",
            [log_name(log), months, legal_reason.strip(), actor.reference],
        )
    _say(EventType.LOG_TERM_CHANGED, log, actor, now, {"months": months})
    return LogTerm.objects.filter(log=log_name(log)).latest("id")


@transaction.atomic
def place_log_hold(*, log: UUID | None, reason: str, actor: Actor, now: datetime) -> LogHold:
    """Hold a whole log: nothing of it is cut, and no detail erased as past, until it is lifted."""
    hold = _identifier(now)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_log_hold (id, log, placed_by) VALUES (%s, %s, %s)",
            [hold, log_name(log), actor.reference],
        )
    detail = {"reason": reason}
    _say(EventType.LOG_HOLD_PLACED, log, actor, now, {"hold": hold}, detail=detail)
    return LogHold.objects.get(pk=hold)


@transaction.atomic
def lift_log_hold(
    *, log: UUID | None, hold: UUID, reason: str, actor: Actor, now: datetime
) -> bool:
    """Lift a hold on a log; a second time does nothing. Returns whether it was in force."""
    lifted = LogHold.objects.filter(pk=hold, log=log_name(log), lifted_by=None).update(
        lifted_by=UUID(actor.reference)
    )
    if lifted:
        detail = {"reason": reason}
        _say(EventType.LOG_HOLD_LIFTED, log, actor, now, {"hold": hold}, detail=detail)
    return bool(lifted)


@transaction.atomic
def propose_cut(
    *, log: UUID | None, about_conversation: bool, until_month: date, actor: Actor, now: datetime
) -> Cut:
    """
    Propose to cut the events of a log and class from before a month (UTC) that may go.

    Of events about conversations those may go whose conversation was destroyed a whole term ago.
    Takes the place of an earlier proposal that is not done.

    Raises CutRefused; `audit.trees.TreeIncomplete` if the log's tree was altered.
    """
    name, cut = log_name(log), _identifier(now)
    found = cuts.cuttable(
        log=name, about_conversation=about_conversation, until_month=until_month, now=now
    )
    if not found.events:
        raise CutRefused("audit_cut_empty")
    if found.unsealed or found.last_leaf is None:
        raise CutRefused("audit_cut_unsealed")
    root = trees.tree(log=name, size=found.last_leaf + 1).root()
    Cut.objects.open().filter(log=name, about_conversation=about_conversation).update(
        replaced_at=now
    )
    with _refusing(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_cut "
            "(id, log, about_conversation, until_month, root, proposed_by) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            [cut, name, about_conversation, until_month, root, actor.reference],
        )
    made = Cut.objects.get(pk=cut)
    _say(EventType.CUT_PROPOSED, log, actor, now, _facts(made))
    return made


@transaction.atomic
def agree_to_cut(*, log: UUID | None, cut: UUID, actor: Actor, now: datetime) -> Cut:
    """Agree to a cut as its second person; a second time does nothing. Raises CutRefused."""
    waiting = Cut.objects.open().filter(pk=cut, log=log_name(log), agreed_at=None)
    with _refusing():
        agreed = waiting.update(agreed_by=UUID(actor.reference))
    found = Cut.objects.filter(pk=cut, log=log_name(log)).first()
    if found is None:
        raise CutRefused(MISSING)
    if found.replaced_at is not None:
        raise CutRefused("audit_cut_replaced")
    if agreed:
        _say(EventType.CUT_AGREED, log, actor, now, _facts(found))
    return found


def do_cut(*, cut: UUID, now: datetime) -> Cut:
    """
    Delete the events of a cut that two persons agreed to, and say so in the log.

    One transaction: all of them go, with their details, and the event is there; or nothing was
    done. The database checks everything anew. As the role `tallenne_cut`, or the owner.

    Raises CutRefused.
    """
    wanted = Cut.objects.filter(pk=cut).first()
    if wanted is None:
        raise CutRefused(MISSING)
    log = log_of(wanted.log)
    said = NewEvent(
        event_type=EventType.AUDIT_CUT,
        actor=ACTOR,
        now=now,
        log=log,
        target=Target("log", wanted.log),
        facts=_facts(wanted),
    )
    with _refusing(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT audit_do_cut(%s, %s)", [cut, bodies.write(said).body])
    wanted.refresh_from_db()
    return wanted


def _facts(cut: Cut) -> dict[str, Any]:
    return {
        "cut": cut.id,
        "about_conversations": cut.about_conversation,
        "until": datetime.combine(cut.until_month, time.min, tzinfo=UTC),
        "count": cut.events,
        "first_leaf": cut.first_leaf,
        "last_leaf": cut.last_leaf,
        "root": bytes(cut.root).hex(),
        "leaves": cuts.leaves_digest(cut=cut),
    }


def _say(
    event_type: EventType,
    log: UUID | None,
    actor: Actor,
    now: datetime,
    facts: dict[str, Any],
    *,
    detail: dict[str, str] | None = None,
) -> None:
    append(
        event_type=event_type,
        actor=actor,
        now=now,
        log=log,
        target=Target("log", log_name(log)),
        facts=facts,
        detail=detail,
    )


def _identifier(now: datetime) -> UUID:
    return uuid7(nanoseconds=round(now.timestamp() * 1_000_000) * 1_000)


@contextmanager
def _refusing() -> Iterator[None]:
    """Say in words which of the database's rules forbids a cut."""
    try:
        yield
    except IntegrityError as error:
        rule = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
        if rule not in REFUSALS:
            raise
        raise CutRefused(rule) from error
