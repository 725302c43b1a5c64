"""Who has listened to me: what is told to somebody who spoke on the recordings herself."""

from __future__ import annotations

import json

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.http import SignedInRequest
from accounts.permissions import needs_permission
from accounts.queries import names_by_reference
from audit import reading
from audit.events import Actor, EventType, Target, log_name
from audit.operations import AuditUnavailable, accountable, append
from audit.presentation import Named
from audit.registry import REGISTRY
from recordings.models import Party


@require_safe
@needs_permission("recordings.see_own_looks")
def listened(request: SignedInRequest) -> HttpResponse:
    """
    Show an employee when her conversations were looked into, by whom and for which purpose.

    The look is an event in her employer's log before it is shown.
    """
    spoken = Party.objects.filter(user=request.user, role=Party.Role.AGENT)
    conversations = list(
        spoken.order_by("-conversation__started_at").values_list("conversation_id", flat=True)[
            : reading.LOOKED_AT_CONVERSATIONS
        ]
    )
    log = request.user.employer_id
    try:
        with accountable():
            looks = reading.looks_into(
                conversations=conversations, without=str(request.user.reference)
            )
            append(
                event_type=EventType.AUDIT_LISTED,
                actor=Actor.user(request.user.reference),
                now=request.arrived_at,
                log=log,
                target=Target("log", log_name(log)),
                facts={"page": "recordings:listened", "count": len(looks)},
            )
    except AuditUnavailable as error:
        return render(request, "audit/unavailable.html", {"message": str(error)}, status=503)
    names = names_by_reference({look.event.actor for look in looks})
    return render(
        request,
        "recordings/listened.html",
        {
            "has_spoken": bool(conversations),
            "rows": [
                {
                    "look": look,
                    "who": Named(look.event.actor, names.get(look.event.actor, "")),
                    "what": REGISTRY[EventType(look.event.event_type)].description,
                    "purpose": look.event.purpose,
                    "facts": json.loads(look.event.body).get("x", {}),
                }
                for look in looks
            ],
        },
    )
