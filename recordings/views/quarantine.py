"""What could not be captured and waits for a decision."""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.http import SignedInRequest
from accounts.permissions import needs_permission
from accounts.queries import controllers_for
from recordings.operations.listing import list_quarantined
from recordings.paging import Cursor

SOON = timedelta(days=7)
DECIDE = "retention.agree_to_dispose"


@require_safe
@needs_permission("recordings.see_quarantine")
def quarantine(request: SignedInRequest) -> HttpResponse:
    """Show what waits, with its reason; nobody sees the content."""
    page = list_quarantined(
        user=request.user,
        at=request.arrived_at,
        cursor=Cursor.parse(request.GET.get("cursor", "")),
    )
    return render(
        request,
        "recordings/quarantine_list.html",
        {
            "rows": page.rows,
            "can_decide": bool(
                controllers_for(user=request.user, permission=DECIDE, at=request.arrived_at)
            ),
            "soon": request.arrived_at + SOON,
            "newer_url": f"?cursor={page.newer}" if page.newer else "",
            "older_url": f"?cursor={page.older}" if page.older else "",
        },
    )
