"""The pages on what ends: the log's term, holds and cuts; and a data subject's report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from audit import clock, cuts, queries, reports
from audit.events import INSTALLATION, log_name
from audit.growth_forms import (
    AgreementForm,
    HoldForm,
    LiftForm,
    ProposalForm,
    ReportForm,
    TermForm,
)
from audit.models import Cut, LogHold, LogTerm
from audit.names import names_of
from audit.operations import AuditUnavailable
from audit.operations import growth as deeds
from audit.operations.reports import StaffWithoutReason, report_on_subject
from audit.pages import actor_of, permitted_log, unavailable
from audit.presentation import LogChoice

KEEP = "audit.keep"
REPORT = "audit.report"
CUTS_SHOWN = 50


@require_GET
def growth_page(request: HttpRequest) -> HttpResponse:
    """Show how long a log is kept, what holds it, and what was and is to be cut from it."""
    log = permitted_log(request, KEEP, request.GET.get("log"))
    name, now = log_name(log), clock.now()
    months = cuts.term_months(log=name)
    until_month = cuts.latest_until(months=months, now=now)
    term = LogTerm.objects.filter(log=name).order_by("-id").first()
    holds = list(LogHold.objects.filter(log=name, lifted_at=None).order_by("placed_at"))
    shown = list(
        Cut.objects.filter(log=name, replaced_at=None).order_by("-proposed_at")[:CUTS_SHOWN]
    )
    people = {term.set_by} if term else set()
    people |= {hold.placed_by for hold in holds}
    people |= {who for cut in shown for who in (cut.proposed_by, cut.agreed_by) if who}
    names = names_of({str(who) for who in people} | {name})
    me = actor_of(request).reference
    return render(
        request,
        "audit/growth.html",
        {
            **_choices(request, KEEP, log),
            "months": months,
            "term": term,
            "until_month": until_month,
            "set_by": names.get(str(term.set_by), str(term.set_by)) if term else "",
            "holds": [
                (hold, names.get(str(hold.placed_by), str(hold.placed_by))) for hold in holds
            ],
            "cuts": [
                {
                    "cut": cut,
                    "proposed_by": names.get(str(cut.proposed_by), str(cut.proposed_by)),
                    "agreed_by": names.get(str(cut.agreed_by), str(cut.agreed_by)),
                    "can_agree": cut.agreed_at is None and str(cut.proposed_by) != me,
                }
                for cut in shown
            ],
            "term_form": TermForm(
                initial={"months": months, "legal_reason": term.legal_reason if term else ""}
            ),
            "hold_form": HoldForm(),
            "proposal_form": ProposalForm(initial={"until_month": until_month}),
        },
    )


@require_POST
def change_term(request: HttpRequest) -> HttpResponse:
    """Keep the log for that many months from now on."""
    return _do(request, TermForm, deeds.change_term, gettext_lazy("The term is changed."))


@require_POST
def place_log_hold(request: HttpRequest) -> HttpResponse:
    """Hold the whole log."""
    return _do(request, HoldForm, deeds.place_log_hold, gettext_lazy("The log is held."))


@require_POST
def lift_log_hold(request: HttpRequest) -> HttpResponse:
    """Lift a hold on the log."""
    return _do(request, LiftForm, deeds.lift_log_hold, gettext_lazy("The hold is lifted."))


@require_POST
def propose_cut(request: HttpRequest) -> HttpResponse:
    """Propose to cut what is past."""
    said = gettext_lazy("The cut is proposed. A second person has to agree to it.")
    return _do(request, ProposalForm, deeds.propose_cut, said)


@require_POST
def agree_to_cut(request: HttpRequest) -> HttpResponse:
    """Agree to a cut that somebody else proposed."""
    said = gettext_lazy("The cut is agreed to. It waits for an operator to do it.")
    return _do(request, AgreementForm, deeds.agree_to_cut, said)


@require_http_methods(["GET", "POST"])
def subject_report(request: HttpRequest) -> HttpResponse:
    """Give a data subject's report as CSV, once it is logged."""
    given = request.POST if request.method == "POST" else request.GET
    log = permitted_log(request, REPORT, given.get("log"))
    form = ReportForm(request.POST or None)
    if form.is_valid():
        asked = form.cleaned_data
        now = clock.now()
        try:
            made = report_on_subject(logs=[log], actor=actor_of(request), now=now, **asked)
        except StaffWithoutReason as error:
            form.add_error("reason", str(error))
        except AuditUnavailable as error:
            return unavailable(request, error)
        else:
            text = reports.as_csv(made, with_staff=asked["with_staff"])
            answer = HttpResponse(text, content_type="text/csv; charset=utf-8")
            answer.headers["Content-Disposition"] = (
                f'attachment; filename="report-{now:%Y%m%dT%H%M%SZ}.csv"'
            )
            return answer
    return render(
        request,
        "audit/report.html",
        {**_choices(request, REPORT, log), "form": form},
        status=422 if form.errors else 200,
    )


def _do(
    request: HttpRequest,
    form_class: type[forms.Form],
    deed: Callable[..., object],
    done: Promise | str,
) -> HttpResponse:
    log = permitted_log(request, KEEP, request.POST.get("log"))
    form = form_class(request.POST)
    if not form.is_valid():
        for name, errors in form.errors.items():
            label = form.fields[name].label if name in form.fields else ""
            messages.error(request, f"{label}: {errors[0]}" if label else str(errors[0]))
    else:
        try:
            deed(log=log, actor=actor_of(request), now=clock.now(), **form.cleaned_data)
        except (deeds.CutRefused, deeds.TermRefused) as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, str(done))
    return redirect(f"{reverse('audit:growth')}?{urlencode({'log': log_name(log)})}")


def _choices(request: HttpRequest, permission: str, log: UUID | None) -> dict[str, Any]:
    user = cast(Any, request.user)
    permitted = [one for one in queries.logs() if user.has_perm(permission, one)]
    names = names_of({log_name(one) for one in permitted})
    names[INSTALLATION] = _("The installation")
    choices = [
        LogChoice(log_name(one), names.get(log_name(one), log_name(one))) for one in permitted
    ]
    return {
        "logs": choices,
        "log": next(choice for choice in choices if choice.name == log_name(log)),
    }
