"""Pages of certificates of destruction: one to be read and printed, and its file."""

from __future__ import annotations

from itertools import islice
from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accounts.http import SignedInRequest
from accounts.permissions import needs_permission
from audit.downloads import send_file
from audit.events import Actor
from retention import certificate as documents
from retention import run_queries
from retention.models import Certificate
from retention.operations.certificates import log_download
from retention.views.guarding import check_is_mine

READ = "retention.read"
# Lines on one page; a certificate can have thousands.
PAGE_LINES = 200


@require_safe
@needs_permission(READ)
def certificate(request: SignedInRequest, certificate_id: UUID) -> HttpResponse:
    """Show a certificate, its lines from the place in the log that `after` names."""
    found = _sealed(request, certificate_id)
    after = request.GET.get("after", "")
    _log(request, found, "html")
    place = int(after) if after.isdecimal() and len(after) < 19 else -1
    lines = list(islice(run_queries.lines_of(found, after=place), PAGE_LINES + 1))
    shown = [documents.values_of(line) for line in lines[:PAGE_LINES]]
    return render(
        request,
        "retention/certificate.html",
        {
            "certificate": found,
            "said": documents.values_of(found.fields),
            "seal": documents.values_of(found.seal or "{}"),
            "lines": shown,
            "after": shown[-1]["leaf_index"] if len(lines) > PAGE_LINES else None,
        },
    )


@require_safe
@needs_permission(READ)
def certificate_file(request: SignedInRequest, certificate_id: UUID) -> HttpResponseBase:
    """Send a certificate as the file that the offline verifier checks."""
    found = _sealed(request, certificate_id)
    _log(request, found, "json")
    return send_file(
        request,
        documents.file(found, run_queries.lines_of(found)),
        content_type="application/json",
        file_name=documents.name_of(found),
    )


def _sealed(request: SignedInRequest, certificate_id: UUID) -> Certificate:
    """The certificate; 404 if there is none, it awaits its seal, or is another company's."""
    issued = Certificate.objects.filter(seal__isnull=False)
    found = get_object_or_404(issued.select_related("controller", "run"), pk=certificate_id)
    check_is_mine(request, READ, found.controller)
    return found


def _log(request: SignedInRequest, certificate: Certificate, form: str) -> None:
    log_download(
        certificate=certificate,
        form=form,
        actor=Actor.user(request.user.reference),
        now=request.arrived_at,
    )
