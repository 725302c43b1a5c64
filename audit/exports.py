"""The audit log's ways out: bundles, proofs of single events, proofs between two heads."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_GET, require_POST

from audit import clock, proofs, queries
from audit.bundles.copies import Format
from audit.downloads import send_file
from audit.events import EventType, Target, log_name
from audit.forms import ExportForm
from audit.operations import AuditUnavailable, accountable, append
from audit.operations.exporting import to_zip
from audit.pages import READ, actor_of, permitted_log, unavailable
from audit.proofs import NotSealed, UnknownEvent, UnknownHead
from audit.views import EXPORT, render_log


@require_POST
def export_log(request: HttpRequest) -> HttpResponseBase:
    """Send events of one log as a bundle, once the export has been logged."""
    log = permitted_log(request, EXPORT, request.POST.get("log"))
    form = ExportForm(request.POST)
    if not form.is_valid():
        return render_log(request, log, form, queries.Page([], None), status=400)
    now = clock.now()
    try:
        pieces = to_zip(
            wanted=form.wanted(log),
            form=Format(form.cleaned_data["format"]),
            actor=actor_of(request),
            now=now,
        )
    except (AuditUnavailable, NotSealed) as error:
        return unavailable(request, error)
    return send_file(
        request,
        pieces,
        content_type="application/zip",
        file_name=f"audit-{log_name(log)}-{now:%Y%m%dT%H%M%SZ}.zip",
    )


@require_GET
def event_proof(request: HttpRequest, log: str, event_id: UUID) -> HttpResponse:
    """Send the proof that an event is in its log, to be checked offline."""
    permitted = permitted_log(request, READ, log)
    try:
        with accountable():
            text = proofs.prove(event_id=event_id, log=log)
            _log_proof(request, permitted, "tlog-proof")
    except UnknownEvent as error:
        raise Http404 from error
    except (AuditUnavailable, NotSealed) as error:
        return unavailable(request, error)
    answer = HttpResponse(text, content_type="text/plain; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{event_id}.tlog-proof"'
    return answer


@require_GET
def consistency_proof(request: HttpRequest, log: str) -> HttpResponse:
    """Give two heads of a log, by `earlier` and `later` (the newest), and what lies between."""
    permitted = permitted_log(request, READ, log)
    earlier, later = (request.GET.get(name, "") for name in ("earlier", "later"))
    if not earlier.isdecimal() or not (later.isdecimal() or not later):
        return JsonResponse({"error": "earlier and later are sizes of the log"}, status=400)
    try:
        with accountable():
            found = proofs.consistency(
                log=log, earlier=int(earlier), later=int(later) if later else None
            )
            _log_proof(request, permitted, "consistency")
    except UnknownHead as error:
        return JsonResponse({"error": str(error)}, status=404)
    except AuditUnavailable as error:
        return unavailable(request, error)
    return JsonResponse(found)


@require_GET
def public_keys(request: HttpRequest, log: str) -> HttpResponse:
    """Give the keys that sign a log, one a line, to be passed on by a trusted way."""
    permitted_log(request, READ, log)
    lines = "".join(f"{key}\n" for key in proofs.public_keys(log=log))
    return HttpResponse(lines, content_type="text/plain; charset=utf-8")


def _log_proof(request: HttpRequest, log: UUID | None, form: str) -> None:
    append(
        event_type=EventType.AUDIT_EXPORTED,
        actor=actor_of(request),
        now=clock.now(),
        log=log,
        target=Target("log", log_name(log)),
        facts={"format": form, "filters": []},
    )
