"""Checks for pages: who may not open one gets the same 404 as for what does not exist."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.http import Http404, HttpResponseBase

from accounts.http import SignedInRequest
from accounts.operations import refuse_page
from accounts.queries import controllers_for

P = ParamSpec("P")


def needs_permission(
    permission: str,
) -> Callable[
    [Callable[Concatenate[SignedInRequest, P], HttpResponseBase]],
    Callable[Concatenate[SignedInRequest, P], HttpResponseBase],
]:
    """
    Open the page only to who holds the permission for at least one controller.

    The view still shows each of them only what is theirs. A refusal is an event and a 404.
    """

    def decorate(
        view: Callable[Concatenate[SignedInRequest, P], HttpResponseBase],
    ) -> Callable[Concatenate[SignedInRequest, P], HttpResponseBase]:
        @wraps(view)
        def guarded(request: SignedInRequest, /, *args: Any, **kwargs: Any) -> HttpResponseBase:
            held = controllers_for(user=request.user, permission=permission, at=request.arrived_at)
            if not held:
                match = request.resolver_match
                refuse_page(
                    user=request.user,
                    page=match.view_name if match else "unknown",
                    log=None,
                    now=request.arrived_at,
                )
                raise Http404
            return view(request, *args, **kwargs)

        return guarded

    return decorate
