"""Pages on which the first person proposes to release what is observed or was stopped."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.http import SignedInRequest
from accounts.models import Controller, Source
from accounts.permissions import needs_permission
from retention.forms import ReasonForm
from retention.models import Proposal, PurgeRun
from retention.operations import releases as deeds
from retention.operations.proposing import ProposalOpen
from retention.operations.rules import RuleRefused
from retention.views.guarding import check_is_mine
from retention.wording import moment

CHANGE = "retention.change_rules"


@require_http_methods(["GET", "POST"])
@needs_permission(CHANGE)
def source_release(request: SignedInRequest, source_id: UUID) -> HttpResponse:
    """Propose to release a source."""
    source = get_object_or_404(Source.objects.select_related("controller"), pk=source_id)
    check_is_mine(request, CHANGE, source.controller)
    return _propose(
        request,
        _("Release the source “%(name)s”") % {"name": source.name},
        _("When a second person has agreed, purge runs destroy what it captured and is past."),
        lambda reason: deeds.propose_source_release(
            source=source, reason=reason, user=request.user, now=request.arrived_at
        ),
    )


@require_http_methods(["GET", "POST"])
@needs_permission(CHANGE)
def rules_release(request: SignedInRequest, controller_id: UUID) -> HttpResponse:
    """Propose to release a company's rules."""
    controller = get_object_or_404(Controller, pk=controller_id)
    check_is_mine(request, CHANGE, controller)
    return _propose(
        request,
        _("Release the rules of %(name)s") % {"name": controller.name},
        _("When a second person has agreed, purge runs destroy by the rules of the company."),
        lambda reason: deeds.propose_rules_release(
            controller=controller, reason=reason, user=request.user, now=request.arrived_at
        ),
    )


@require_http_methods(["GET", "POST"])
@needs_permission(CHANGE)
def run_release(request: SignedInRequest, run_id: UUID) -> HttpResponse:
    """Propose to let a run go ahead that the brake stopped."""
    run = get_object_or_404(PurgeRun, pk=run_id)
    check_is_mine(request, CHANGE, None)
    return _propose(
        request,
        _("Release the purge run of %(at)s") % {"at": moment(run.started_at)},
        _("When a second person has agreed, the next run destroys at most %(count)d, once.")
        % {"count": run.due_count},
        lambda reason: deeds.propose_run_release(
            run=run, reason=reason, user=request.user, now=request.arrived_at
        ),
    )


def _propose(
    request: SignedInRequest, heading: str, consequence: str, deed: Callable[[str], Proposal]
) -> HttpResponse:
    form = ReasonForm(request.POST or None)
    if form.is_valid():
        try:
            proposal = deed(form.cleaned_data["reason"])
        except RuleRefused as refused:
            form.show(refused.problems)
        except (ProposalOpen, deeds.NothingToRelease) as refused:
            form.add_error(None, str(refused))
        else:
            messages.success(request, _("It is proposed, and awaits a second person."))
            return redirect("retention:proposal", proposal.pk)
    return render(
        request,
        "retention/confirm.html",
        {
            "heading": heading,
            "consequence": consequence,
            "form": form,
            "button": _("Propose"),
            "cancel_url": reverse("retention:purge_runs"),
        },
        status=422 if form.errors else 200,
    )
