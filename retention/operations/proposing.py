"""Writes down what one person wants and a second one is to decide."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.queries import actor_for
from audit.events import EventType, FactValue, Target
from audit.operations import append
from retention.models import Proposal, Urgency
from retention.operations.contradictions import Problem


class ProposalOpen(Exception):
    """Another proposal about the same awaits a second person."""

    def __init__(self) -> None:
        super().__init__(
            _("Another proposal about this awaits a second person: it is to be decided first.")
        )


@dataclass(frozen=True, slots=True)
class Intent:
    """
    Why something is proposed, and from when it shall speak: None is as soon as it may.

    With an urgency a shortening has no cooling time.
    """

    reason: str
    wanted_from: datetime | None = None
    urgency: str = ""


def propose(
    proposal: Proposal,
    *,
    intent: Intent,
    user: User,
    now: datetime,
    facts: dict[str, FactValue],
) -> Proposal:
    """
    Write a proposal down, with its event; in the transaction that asked who may and what for.

    Raises ProposalOpen.
    """
    same = Proposal.objects.open().filter(controller=proposal.controller)
    if proposal.deed == Proposal.Deed.CREATE_RULE:
        same = same.filter(deed=proposal.deed, name__iexact=proposal.name)
    elif proposal.rule:
        same = same.filter(rule=proposal.rule)
    else:
        same = same.filter(
            deed=proposal.deed, purpose=proposal.purpose, source=proposal.source, run=proposal.run
        )
    if same.exists():
        raise ProposalOpen
    proposal.reason = intent.reason.strip()
    proposal.wanted_from = intent.wanted_from
    proposal.urgency = intent.urgency
    proposal.proposed_by = user
    proposal.proposed_at = now
    proposal.save(force_insert=True)
    append(
        event_type=EventType.PROPOSAL_MADE,
        actor=actor_for(user=user, at=now),
        now=now,
        log=proposal.controller_id,
        target=Target("proposal", str(proposal.pk)),
        purpose=proposal.purpose.code if proposal.purpose else None,
        facts={
            "kind": proposal.deed,
            "rule": proposal.rule_id,
            "source": proposal.source_id,
            "run": proposal.run_id,
            "from": intent.wanted_from,
            "urgency": intent.urgency or None,
            **facts,
        },
        detail={"reason": proposal.reason},
    )
    return proposal


def problems_of_intent(intent: Intent, now: datetime) -> list[Problem]:
    """What speaks against proposing something so."""
    problems = []
    if not intent.reason.strip():
        problems.append(Problem("reason", _("Say why.")))
    if intent.wanted_from is not None and intent.wanted_from < now:
        problems.append(Problem("wanted_from", _("Nothing takes effect in the past.")))
    if intent.urgency and intent.urgency not in Urgency.values:
        problems.append(Problem("urgency", _("Say why it is urgent.")))
    return problems
