"""What a person may order of purge runs: to wait, to go on, to stop after the batch."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.http import SignedInRequest
from accounts.permissions import needs_permission
from accounts.queries import actor_for
from retention.models import PurgeRun
from retention.operations.purge import control
from retention.views.guarding import check_all_mine

CONTROL = "retention.control_purge"


@require_POST
@needs_permission(CONTROL)
def purge_pause(request: SignedInRequest) -> HttpResponse:
    """Let purge runs wait."""
    check_all_mine(request, CONTROL)
    actor = actor_for(user=request.user, at=request.arrived_at)
    control.pause(actor=actor, now=request.arrived_at)
    messages.success(
        request, _("Purge runs are paused. What a run is at is finished first: its keys are gone.")
    )
    return redirect("retention:purge_runs")


@require_POST
@needs_permission(CONTROL)
def purge_resume(request: SignedInRequest) -> HttpResponse:
    """Let purge runs go on."""
    check_all_mine(request, CONTROL)
    actor = actor_for(user=request.user, at=request.arrived_at)
    control.resume(actor=actor, now=request.arrived_at)
    messages.success(request, _("Purge runs go on."))
    return redirect("retention:purge_runs")


@require_POST
@needs_permission(CONTROL)
def purge_stop(request: SignedInRequest, run_id: UUID) -> HttpResponse:
    """Ask a run to end after the batch it is at."""
    check_all_mine(request, CONTROL)
    run = get_object_or_404(PurgeRun, pk=run_id)
    actor = actor_for(user=request.user, at=request.arrived_at)
    control.stop(actor=actor, now=request.arrived_at, run_id=run.pk)
    messages.success(request, _("The run ends after the batch it is at. The next takes the rest."))
    return redirect("retention:purge_run", run.pk)
