"""Pages of purge runs: all of them, and one with what happened to each conversation."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.http import SignedInRequest
from accounts.models import Controller, Source
from accounts.permissions import needs_permission
from recordings.paging import page_of
from retention import queries, run_queries
from retention.models import Proposal, PurgePause, PurgeRun
from retention.operations.purge import control
from retention.operations.releases import stopped_run
from retention.run_queries import RunCounts
from retention.views.guarding import PAGE_SIZE, cursor_of, mine, page_links, sees_all
from retention.views.rules import proposal_rows

READ, CHANGE = "retention.read", "retention.change_rules"
CONTROL = "retention.control_purge"
RELEASES = (Proposal.Deed.RELEASE_SOURCE, Proposal.Deed.RELEASE_RULES)


@require_safe
@needs_permission(READ)
def purge_runs(request: SignedInRequest) -> HttpResponse:
    """Show the purge runs, newest first."""
    controllers = mine(request, READ)
    page = page_of(
        PurgeRun.objects.all(), field="started_at", cursor=cursor_of(request), size=PAGE_SIZE
    )
    counts = run_queries.run_counts(page.rows, controllers=controllers)
    return render(
        request,
        "retention/purge_run_list.html",
        {
            "rows": [{"run": run, "counts": counts[run.pk]} for run in page.rows],
            "sees_all": sees_all(controllers),
            "observed": _observed(request),
            "proposals": proposal_rows(request, controllers, RELEASES),
            "pauses": PurgePause.objects.filter(ended_at=None),
            "is_paused": control.is_paused(),
            "may_control": sees_all(mine(request, CONTROL)),
            **page_links(page),
        },
    )


@require_safe
@needs_permission(READ)
def purge_run(request: SignedInRequest, run_id: UUID) -> HttpResponse:
    """Show one run and what happened to each conversation of the person's companies."""
    run = get_object_or_404(PurgeRun, pk=run_id)
    controllers = mine(request, READ)
    destructions = run_queries.destructions_of(run, controllers=controllers)
    page = page_of(destructions, field="withdrawn_at", cursor=cursor_of(request), size=PAGE_SIZE)
    counts = run_queries.run_counts([run], controllers=controllers)[run.pk]
    return render(
        request,
        "retention/purge_run.html",
        {
            "run": run,
            "counts": counts,
            "progress": _progress(run, counts, request),
            "sees_all": sees_all(controllers),
            "release": run.releases.order_by("-proposed_at").first(),
            "can_release": request.user.has_perm(CHANGE, None) and run == stopped_run(),
            "is_paused": control.is_paused(),
            "may_control": sees_all(mine(request, CONTROL)),
            "persons": destructions.filter(needs_person_at__isnull=False, concluded_at=None)[
                :PAGE_SIZE
            ],
            "destructions": page.rows,
            "maintenance": run_queries.maintenance_of(run),
            "certificates": run_queries.certificates_of(run, controllers=controllers),
            "is_certificate_awaited": destructions.filter(
                certificate=None, recalled_at=None
            ).exists(),
            **page_links(page),
        },
    )


@require_safe
@needs_permission(READ)
def purge_run_progress(request: SignedInRequest, run_id: UUID) -> HttpResponse:
    """Show how far a run is: the piece that its page asks for every two seconds."""
    run = get_object_or_404(PurgeRun, pk=run_id)
    controllers = mine(request, READ)
    counts = run_queries.run_counts([run], controllers=controllers)[run.pk]
    return render(
        request,
        "retention/_run_progress.html",
        {
            "run": run,
            "counts": counts,
            "progress": _progress(run, counts, request),
            "sees_all": sees_all(controllers),
            "is_paused": control.is_paused(),
            "is_piece": True,
        },
    )


def _observed(request: SignedInRequest) -> list[dict[str, Any]]:
    """What purge runs only observe of the person's companies, and where to propose its release."""
    controllers = mine(request, READ)
    sources = run_queries.observed_sources(controllers=controllers)
    proposals = queries.proposals_of(controllers=controllers, deeds=RELEASES)
    proposed = set(proposals.values_list("controller_id", "source_id"))
    rows: list[tuple[Controller, Source | None, str]] = [
        (controller, None, reverse("retention:rules_release", args=[controller.pk]))
        for controller in controllers
        if controller.rules_released_at is None
    ]
    rows += [
        (one.controller, one, reverse("retention:source_release", args=[one.pk])) for one in sources
    ]
    return [
        {
            "controller": controller,
            "source": source,
            "count": run_queries.past_and_observed(
                controller, source, at=request.arrived_at
            ).count(),
            "release_url": url
            if request.user.has_perm(CHANGE, controller)
            and (controller.pk, source and source.pk) not in proposed
            else "",
        }
        for controller, source, url in rows
    ]


def _progress(run: PurgeRun, counts: RunCounts, request: SignedInRequest) -> dict[str, Any]:
    """How far the run is: done and total, whole percent, rate, and seconds since a sign of life."""
    elapsed = max((run.heartbeat_at - run.started_at).total_seconds(), 1.0)
    rate = counts.concluded / elapsed
    total = counts.begun - counts.recalled
    if sees_all(mine(request, READ)) and run.state == PurgeRun.State.RUNNING:
        total = max(total, run.due_count - counts.recalled)
    return {
        "done": counts.concluded,
        "total": total,
        "percent": 100 * counts.concluded // total if total else 0,
        "per_second": round(rate, 1) if rate >= 0.1 else None,
        "left_seconds": round((total - counts.concluded) / rate) if rate else None,
        "heartbeat_seconds": int((request.arrived_at - run.heartbeat_at).total_seconds()),
    }
