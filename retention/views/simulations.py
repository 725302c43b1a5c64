"""Pages of simulations: what a change of rules would do, and how far the reckoning is."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from accounts.http import SignedInRequest
from accounts.models import Controller
from accounts.permissions import needs_permission
from retention.changes import LimitChange, RuleChange
from retention.models import Simulation
from retention.operations.simulate import look_at, simulate
from retention.simulation_shown import changes_in_words, shown
from retention.views.guarding import check_is_mine

READ = "retention.read"


@require_safe
@needs_permission(READ)
def simulation(request: SignedInRequest, simulation_id: UUID) -> HttpResponse:
    """Show a simulation, or how far it is."""
    row = _mine(request, simulation_id)
    look_at(simulation=row, user=request.user, now=request.arrived_at)
    return render(request, "retention/simulation_page.html", context_of(request, row))


@require_safe
@needs_permission(READ)
def simulation_progress(request: SignedInRequest, simulation_id: UUID) -> HttpResponse:
    """Show the same as the piece that its page asks for every two seconds until it is finished."""
    row = _mine(request, simulation_id)
    return render(request, "retention/simulation.html", context_of(request, row))


def simulated(request: SignedInRequest, change: RuleChange | LimitChange) -> HttpResponse:
    """Have a change simulated that is not proposed yet, and go to its page."""
    row = simulate(changes=[change], user=request.user, now=request.arrived_at)
    return redirect("retention:simulation", row.pk)


def context_of(request: SignedInRequest, row: Simulation) -> dict[str, Any]:
    """What retention/simulation.html is given, on whatever page it stands."""
    seen_at = row.heartbeat_at or row.asked_at
    return {
        "simulation": row,
        "changes": changes_in_words(row),
        "percent": 100 * row.done_count // row.total_count if row.total_count else 0,
        "heartbeat_seconds": int((request.arrived_at - seen_at).total_seconds()),
        "result": shown(row) if row.finished_at else None,
        "decide_days": settings.UNCOVERED_DECIDE_DAYS,
    }


def _mine(request: SignedInRequest, simulation_id: UUID) -> Simulation:
    row = get_object_or_404(Simulation.objects.select_related("asked_by"), pk=simulation_id)
    for controller in Controller.objects.filter(pk__in=row.controllers):
        check_is_mine(request, READ, controller)
    return row
