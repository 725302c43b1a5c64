"""The page on which a company's privacy notice is recorded."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.http import SignedInRequest
from accounts.permissions import needs_permission
from retention.forms import NoticeForm
from retention.operations.notices import record_notice
from retention.operations.rules import RuleRefused
from retention.views.guarding import mine

CHANGE = "retention.change_rules"


@require_http_methods(["GET", "POST"])
@needs_permission(CHANGE)
def notice_new(request: SignedInRequest) -> HttpResponse:
    """Record a version of a company's privacy notice and the times it states."""
    form = NoticeForm(request.POST or None, controllers=mine(request, CHANGE))
    if form.is_valid():
        try:
            record_notice(
                controller=form.cleaned_data["controller"],
                version=form.cleaned_data["version"],
                in_force_from=form.in_force_at(),
                months=form.months(),
                user=request.user,
                now=request.arrived_at,
            )
        except RuleRefused as refused:
            form.show(refused.problems)
        else:
            messages.success(request, _("The privacy notice is recorded."))
            return redirect("retention:rules")
    return render(
        request, "retention/notice_form.html", {"form": form}, status=422 if form.errors else 200
    )
