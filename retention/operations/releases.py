"""Releases by two persons: sources and rules from being observed, a braked run from its brake."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import Controller, Source, User
from accounts.operations import releases as of_accounts
from audit.events import EventType, FactValue, Target
from audit.operations import append
from retention.models import Proposal, PurgeRun
from retention.operations.contradictions import Problem
from retention.operations.enacting import Ground
from retention.operations.proposing import Intent, propose
from retention.operations.rule_lock import change_alone
from retention.operations.rules import RuleRefused
from retention.permissions import check_can_change_rules

Deed = Proposal.Deed


class NothingToRelease(Exception):
    """It was released before, or another run came after the one that was stopped."""

    def __init__(self) -> None:
        super().__init__(_("There is nothing to release any more."))


@transaction.atomic
def propose_source_release(*, source: Source, reason: str, user: User, now: datetime) -> Proposal:
    """
    Propose that purge runs destroy what a source captured, and no longer only observe it.

    Raises NotEntitled, RuleRefused, ProposalOpen, NothingToRelease.
    """
    check_can_change_rules(user=user, controller=source.controller)
    change_alone(source.controller_id)
    if source.released_at is not None:
        raise NothingToRelease
    proposal = Proposal(
        deed=Deed.RELEASE_SOURCE, controller=source.controller, source=source, name=source.name
    )
    return _propose(proposal, reason, user, now, {})


@transaction.atomic
def propose_rules_release(
    *, controller: Controller, reason: str, user: User, now: datetime
) -> Proposal:
    """
    Propose that purge runs destroy by a company's first rules, and no longer only observe.

    Raises as `propose_source_release`.
    """
    check_can_change_rules(user=user, controller=controller)
    change_alone(controller.pk)
    if controller.rules_released_at is not None:
        raise NothingToRelease
    proposal = Proposal(deed=Deed.RELEASE_RULES, controller=controller, name=controller.name)
    return _propose(proposal, reason, user, now, {})


@transaction.atomic
def propose_run_release(*, run: PurgeRun, reason: str, user: User, now: datetime) -> Proposal:
    """
    Propose that the next run go ahead once, for as many as the stopped one has due now.

    Raises as `propose_source_release`; NotEntitled also for who is entitled at some companies only.
    """
    check_can_change_rules(user=user, controller=None)
    stopped = stopped_run()
    if stopped is None or stopped != run:
        raise NothingToRelease
    proposal = Proposal(deed=Deed.RELEASE_RUN, run=stopped, terms={"due": stopped.due_count})
    return _propose(proposal, reason, user, now, {"due": stopped.due_count})


def stopped_run() -> PurgeRun | None:
    """The run that the brake stopped, if none came after it."""
    newest = PurgeRun.objects.order_by("-started_at").first()
    return newest if newest is not None and newest.state == PurgeRun.State.BRAKED else None


def release_source(proposal: Proposal, ground: Ground, now: datetime) -> None:
    """Carry out an approved release of a source."""
    assert proposal.source is not None
    of_accounts.release_source(source=proposal.source, now=now)
    _say(EventType.SOURCE_RELEASED, Target("source", str(proposal.source_id)), ground, now)


def release_rules(proposal: Proposal, ground: Ground, now: datetime) -> None:
    """Carry out an approved release of a company's rules."""
    assert proposal.controller is not None
    of_accounts.release_rules(controller=proposal.controller, now=now)
    _say(EventType.RULES_RELEASED, Target("controller", str(proposal.controller_id)), ground, now)


def release_run(proposal: Proposal, ground: Ground, now: datetime) -> None:
    """
    Let the next run go ahead; it looks for this by itself, and uses it once.

    Raises NothingToRelease.
    """
    if proposal.run != stopped_run():
        raise NothingToRelease
    target = Target("purge_run", str(proposal.run_id))
    _say(EventType.PURGE_RUN_RELEASED, target, ground, now, due=proposal.terms["due"])


def waiting_release() -> Proposal | None:
    """The release that the next run can use: agreed to, not used, and no run came since."""
    return Proposal.objects.filter(
        deed=Deed.RELEASE_RUN, run=stopped_run(), state=Proposal.State.APPROVED, used_at=None
    ).first()


def use_release(*, now: datetime) -> int | None:
    """
    How many a run may take that is much larger than usual, or None: two persons released nothing.

    A release is used once, in the transaction that writes the row of the run.
    """
    release = waiting_release()
    if release is None:
        return None
    assert release.run is not None
    if not Proposal.objects.filter(pk=release.pk, used_at=None).update(used_at=now):
        return None  # another worker was faster
    PurgeRun.objects.filter(pk=release.run.pk).update(
        state=PurgeRun.State.RELEASED, finished_at=now
    )
    most: int = release.terms["due"]
    return most


def _propose(
    proposal: Proposal, reason: str, user: User, now: datetime, facts: dict[str, FactValue]
) -> Proposal:
    if not reason.strip():
        raise RuleRefused([Problem("reason", _("Say why."))])
    return propose(proposal, intent=Intent(reason), user=user, now=now, facts=facts)


def _say(
    event_type: EventType, target: Target, ground: Ground, now: datetime, **facts: FactValue
) -> None:
    proposal = ground.proposal
    assert proposal is not None
    append(
        event_type=event_type,
        actor=ground.actor,
        now=now,
        log=proposal.controller_id,
        target=target,
        facts={
            "proposal": proposal.pk,
            "proposer": proposal.proposed_by.reference if proposal.proposed_by else None,
            **facts,
        },
        detail={"reason": proposal.reason},
    )
