"""What every way in to content begins with: for which purpose, and is she bound to silence."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlencode

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.http import SignedInRequest
from accounts.operations import refuse_page
from accounts.queries import has_undertaken, purposes_for
from audit.events import Target
from audit.operations import AuditUnavailable
from recordings.encryption import ContentAltered
from recordings.keyring import KeyDoesNotFit, KeyMissing, KeyringUnavailable
from recordings.objectstore import ObjectMissing, StoreRefused, StoreUnavailable
from recordings.operations.access import AccessRefused, Looker, raise_incident

UNREACHABLE = (StoreUnavailable, StoreRefused, ObjectMissing, KeyringUnavailable, KeyMissing)

P = ParamSpec("P")
Page = Callable[Concatenate[SignedInRequest, Looker, P], HttpResponse]


def looker_of(request: SignedInRequest) -> Looker | None:
    """Name who looks and for which purpose: the one asked for, else the first that is hers."""
    purposes = purposes_for(user=request.user, at=request.arrived_at)
    wanted = request.GET.get("purpose")
    for purpose in purposes:
        if wanted in (None, "", purpose.code):
            return Looker(request.user, purpose, request.arrived_at)
    return None


def content_page(view: Page[P]) -> Callable[Concatenate[SignedInRequest, P], HttpResponse]:
    """
    Give the view its Looker, and translate what can go wrong.

    No role for any purpose, and no right to this conversation: the same 404. No undertaking: the
    page where it is accepted. No audit: 503, and no byte of content.
    """

    @wraps(view)
    def guarded(request: SignedInRequest, /, *args: Any, **kwargs: Any) -> HttpResponse:
        looker = looker_of(request)
        if looker is None:
            match = request.resolver_match
            refuse_page(
                user=request.user,
                page=match.view_name if match else "unknown",
                log=None,
                now=request.arrived_at,
            )
            raise Http404
        if not has_undertaken(user=request.user, at=request.arrived_at):
            query = urlencode({"next": request.get_full_path()})
            return redirect(f"{reverse('accounts:undertaking')}?{query}")
        try:
            return view(request, looker, *args, **kwargs)
        except AccessRefused as refused:
            raise Http404 from refused
        except AuditUnavailable as stopped:
            return render(request, "recordings/stopped.html", {"reason": stopped}, status=503)
        except UNREACHABLE:
            return render(request, "recordings/stopped.html", status=503)
        except (ContentAltered, KeyDoesNotFit):
            conversation = kwargs.get("conversation_id")
            raise_incident(
                target=Target("conversation", str(conversation)),
                step="page",
                now=request.arrived_at,
            )
            return render(request, "recordings/stopped.html", status=503)

    return guarded
