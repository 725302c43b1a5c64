"""What the log's pages have in common: which log may be seen, who asks, what if it fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from audit import clock, queries
from audit.events import Actor, EventType, FactValue, Target, log_name
from audit.names import names_of
from audit.operations import AuditUnavailable, append, append_alone
from audit.presentation import LogChoice

READ = "audit.read"


def place_of(request: HttpRequest) -> queries.Place | None:
    """Give the place after which a page goes on; None for the first. Raises Http404."""
    after = request.GET.get("after")
    try:
        return queries.Place.parse(after) if after else None
    except queries.NotACursor as error:
        raise Http404 from error


def choice_of(log: str) -> LogChoice:
    """Give a log with what people call it."""
    return LogChoice(log, names_of({log}).get(log, log))


def append_look(
    request: HttpRequest,
    log: UUID | None,
    facts: Mapping[str, FactValue],
    *,
    target: Target | None = None,
    conversation: UUID | None = None,
) -> None:
    """Append that the log was looked into; within `accountable`, before anything is shown."""
    append(
        event_type=EventType.AUDIT_LISTED,
        actor=actor_of(request),
        now=clock.now(),
        log=log,
        target=target or Target("log", log_name(log)),
        conversation=conversation,
        facts=facts,
    )


def permitted_log(request: HttpRequest, permission: str, name: str | None) -> UUID | None:
    """
    The log asked for, or the first the person may see.

    Raises Http404, after logging it, if there is none: a log that she may not see and one that
    does not exist look the same.
    """
    # Controllers' logs first: the installation's is for the few who look after all of them.
    known = sorted(queries.logs(), key=lambda log: log is None)
    asked = known if not name else [log for log in known if log_name(log) == name]
    for log in asked:
        if cast(Any, request.user).has_perm(permission, log):
            return log
    refused = asked[0] if name and asked else None
    try:
        append_alone(
            event_type=EventType.PAGE_REFUSED,
            actor=actor_of(request),
            now=clock.now(),
            log=refused,
            target=Target("log", log_name(refused) if asked else "unknown"),
            facts={"page": _page(request), "permission": permission},
        )
    except AuditUnavailable:
        # A refusal stays one, logged or not.
        raise Http404 from None
    raise Http404


def unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    """Say that nothing was shown for now, and why: it cannot be logged, or is not sealed yet."""
    return render(request, "audit/unavailable.html", {"message": str(error)}, status=503)


def actor_of(request: HttpRequest) -> Actor:
    """Give whoever asks, as events name her."""
    # The project's user has a random reference; this app knows no more of her than that.
    return Actor.user(cast(Any, request.user).reference)


def _page(request: HttpRequest) -> str:
    match = request.resolver_match
    return match.view_name if match else "audit:log"
