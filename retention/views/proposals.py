"""Pages of what one person proposed: for a second one to decide, or the first to take back."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.http import SignedInRequest
from accounts.permissions import needs_permission
from retention import queries, run_queries, wording
from retention.drafts import draft_of_terms, fields_of
from retention.forms import ReasonForm
from retention.models import Proposal, PurposeLimit, RuleVersion
from retention.operations import proposals as deeds
from retention.operations.releases import NothingToRelease
from retention.operations.rules import (
    RuleChangedMeanwhile,
    RuleNotInForce,
    RuleRefused,
    count_affected,
)
from retention.operations.simulate import look_at, newest_of, simulate_proposal
from retention.views.guarding import check_is_mine
from retention.views.simulations import context_of

READ, CHANGE = "retention.read", "retention.change_rules"
Deed = Proposal.Deed
# The proposals that have two texts to compare.
OF_RULES = (Deed.CREATE_RULE, Deed.CHANGE_RULE, Deed.RETIRE_RULE)
REFUSALS = (
    *(deeds.DecidedAlready, deeds.NotYours, NothingToRelease),
    *(RuleChangedMeanwhile, RuleNotInForce, RuleRefused),
)


class Compared(NamedTuple):
    """One line of what is said now and what shall be said."""

    label: str
    old: str
    new: str

    @property
    def is_changed(self) -> bool:
        """Whether they differ."""
        return self.old != self.new


@require_safe
@needs_permission(READ)
def proposal(request: SignedInRequest, proposal_id: UUID) -> HttpResponse:
    """Show what is proposed, by whom and why, and what would come of it."""
    row = _proposal(request, READ, proposal_id)
    at = request.arrived_at
    is_open = row.state == Proposal.State.OPEN
    may = request.user.has_perm(CHANGE, row.controller)
    is_first = row.proposed_by_id == request.user.pk
    is_of_rules = row.deed in (*OF_RULES, Deed.SET_LIMIT)
    return render(
        request,
        "retention/proposal.html",
        {
            "proposal": row,
            "title": wording.title_of(row),
            "law": deeds.enacted_by(row),
            "effect": deeds.effect_of(row, now=at) if is_open else None,
            "affected": _affected(row) if is_open else None,
            "compared": _compared(row),
            "is_of_rules": is_of_rules,
            "is_first": is_first,
            "can_simulate": is_open and may and is_of_rules,
            **_simulated(request, row),
            "can_decide": is_open and may and not is_first,
            "can_take_back": may
            and ((is_open and is_first) or deeds.can_be_taken_back(row, at=at)),
        },
    )


@require_POST
@needs_permission(CHANGE)
def proposal_simulate(request: SignedInRequest, proposal_id: UUID) -> HttpResponse:
    """Have it reckoned what would come of it; both persons see the result on its page."""
    row = _proposal(request, CHANGE, proposal_id)
    if row.deed in (*OF_RULES, Deed.SET_LIMIT) and row.state == Proposal.State.OPEN:
        simulate_proposal(proposal=row, user=request.user, now=request.arrived_at)
    return redirect("retention:proposal", row.pk)


@require_http_methods(["GET", "POST"])
@needs_permission(CHANGE)
def proposal_approve(request: SignedInRequest, proposal_id: UUID) -> HttpResponse:
    """Approve, once it was confirmed with a reason."""
    row = _proposal(request, CHANGE, proposal_id)
    effect = deeds.effect_of(row, now=request.arrived_at)
    consequence = _("Approved now, it would take effect %(date)s.") % {
        "date": wording.moment(effect.from_at)
    }
    if row.urgency:
        consequence = _("It is urgent: it takes effect without cooling time, and is marked so.")
    elif row.deed == Deed.RELEASE_RUN:
        consequence = _("The next run goes ahead, once, and destroys at most what was due.")
    elif row.deed in (Deed.RELEASE_SOURCE, Deed.RELEASE_RULES):
        consequence = _("Purge runs then destroy what has reached its end. It stays released.")
    return _answer(request, row, deeds.approve, _("Approve"), consequence, _("It is approved."))


@require_http_methods(["GET", "POST"])
@needs_permission(CHANGE)
def proposal_refuse(request: SignedInRequest, proposal_id: UUID) -> HttpResponse:
    """Refuse, once it was confirmed with a reason."""
    row = _proposal(request, CHANGE, proposal_id)
    consequence = _("Nothing comes of it; it can be proposed anew.")
    return _answer(request, row, deeds.refuse, _("Refuse"), consequence, _("It is refused."))


@require_http_methods(["GET", "POST"])
@needs_permission(CHANGE)
def proposal_take_back(request: SignedInRequest, proposal_id: UUID) -> HttpResponse:
    """Take back, once it was confirmed with a reason."""
    row = _proposal(request, CHANGE, proposal_id)
    consequence = _("It does not take effect. What is in force now stays in force.")
    return _answer(
        request, row, deeds.take_back, _("Take back"), consequence, _("It is taken back.")
    )


def _answer(
    request: SignedInRequest,
    row: Proposal,
    deed: Any,
    button: str,
    consequence: str,
    done: str,
) -> HttpResponse:
    form = ReasonForm(request.POST or None)
    if form.is_valid():
        try:
            deed(
                proposal_id=row.pk,
                reason=form.cleaned_data["reason"],
                user=request.user,
                now=request.arrived_at,
            )
        except deeds.SamePerson as refused:
            raise PermissionDenied(str(refused)) from refused
        except REFUSALS as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, done)
        return redirect("retention:proposal", row.pk)
    return render(
        request,
        "retention/confirm.html",
        {
            "heading": f"{button}: {wording.title_of(row)}",
            "consequence": consequence,
            "form": form,
            "button": button,
            "cancel_url": reverse("retention:proposal", args=[row.pk]),
        },
        status=422 if form.errors else 200,
    )


def _simulated(request: SignedInRequest, row: Proposal) -> dict[str, Any]:
    """What retention/simulation.html shows of the proposal, if it has been simulated."""
    simulation = newest_of(row)
    if simulation is None:
        return {}
    look_at(simulation=simulation, user=request.user, now=request.arrived_at)
    return context_of(request, simulation)


def _proposal(request: SignedInRequest, permission: str, proposal_id: UUID) -> Proposal:
    rows = Proposal.objects.select_related(
        "controller", "purpose", "rule", "source", "run", "proposed_by", "decided_by"
    )
    row = get_object_or_404(rows, pk=proposal_id)
    check_is_mine(request, permission, row.controller)
    return row


def _old_version(row: Proposal) -> RuleVersion | None:
    if row.rule is None:
        return None
    return row.rule.versions.select_related("rule").filter(number=row.based_on).first()


def _compared(row: Proposal) -> list[Compared]:
    if row.deed in OF_RULES:
        old = _old_version(row)
        new = RuleVersion(**fields_of(draft_of_terms(row.terms)))
        names = wording.names_of([one for one in (old, new) if one is not None])
        said = wording.terms_in_words(new, names=names)
        before = wording.terms_in_words(old, names=names) if old else {}
        if row.deed == Deed.RETIRE_RULE:
            said = dict.fromkeys(said, _("Retired"))
    elif row.deed == Deed.SET_LIMIT:
        limit = PurposeLimit.objects.filter(
            controller=row.controller, purpose=row.purpose, number=row.based_on
        ).first()
        said = wording.limits_in_words(row.terms)
        before = wording.limits_in_words(limit.__dict__) if limit else {}
    else:
        return []
    return [Compared(label, before.get(label, ""), text) for label, text in said.items()]


def _affected(row: Proposal) -> int:
    """How many conversations it speaks of now."""
    if row.run is not None:
        return int(row.terms["due"])
    assert row.controller is not None
    if row.purpose is None:
        return run_queries.past_and_observed(row.controller, row.source, at=row.proposed_at).count()
    if row.deed == Deed.SET_LIMIT:
        return queries.used_for(row.purpose, controller=row.controller).count()
    draft = None if row.deed == Deed.RETIRE_RULE else draft_of_terms(row.terms)
    return count_affected(
        controller=row.controller, purpose=row.purpose, draft=draft, old=_old_version(row)
    )
