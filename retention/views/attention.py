"""The page of all that needs a person."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.http import SignedInRequest
from accounts.permissions import needs_permission
from retention.attention import Asked, Need, needs
from retention.views.guarding import mine

SEE = "retention.see_attention"


@require_safe
@needs_permission(SEE)
def attention(request: SignedInRequest) -> HttpResponse:
    """Show what needs a person: how many, since when, what to do and where."""
    found = needs(Asked(request.arrived_at, mine(request, SEE)))
    return render(
        request,
        "retention/attention.html",
        {
            "stuck": [_row(request, need) for need in found if need.kind.is_stuck],
            "waiting": [_row(request, need) for need in found if not need.kind.is_stuck],
        },
    )


def _row(request: SignedInRequest, need: Need) -> dict[str, object]:
    kind = need.kind
    is_hers = bool(kind.page) and bool(mine(request, kind.permission))
    return {"kind": kind, "found": need.found, "url": reverse(kind.page) if is_hers else ""}
