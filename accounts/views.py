"""Pages about oneself: where to begin, the undertaking, my access, how the pages behave."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import operations, queries
from accounts.http import SignedInRequest


class UndertakingForm(forms.Form):
    """That the text of this version is accepted."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    accepted = forms.BooleanField(
        error_messages={"required": _("Tick the box to accept the undertaking.")}
    )


@require_http_methods(["GET", "POST"])
def undertaking(request: SignedInRequest) -> HttpResponse:
    """Show the undertaking of confidentiality, and accept it."""
    text = queries.current_text(at=request.arrived_at)
    form = UndertakingForm(
        request.POST or None, initial={"version": text.version if text else None}
    )
    if request.method == "POST" and form.is_valid():
        try:
            operations.accept_undertaking(
                user=request.user, version=form.cleaned_data["version"], now=request.arrived_at
            )
        except operations.NothingToAccept as refused:
            form.add_error("accepted", str(refused))
        else:
            messages.success(request, gettext("You have accepted the undertaking."))
            return redirect(_safe_next(request) or "home")
    return render(
        request,
        "accounts/undertaking.html",
        {
            "text": text,
            "form": form,
            "previous": queries.last_undertaking(user=request.user),
            "next_url": _safe_next(request),
            "has_undertaken": queries.has_undertaken(user=request.user, at=request.arrived_at),
        },
        status=422 if form.errors else 200,
    )


def _safe_next(request: SignedInRequest) -> str:
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    return wanted if url_has_allowed_host_and_scheme(wanted, {request.get_host()}) else ""


@require_safe
def my_access(request: SignedInRequest) -> HttpResponse:
    """Show what I may hear, until when, and what has ended."""
    at = request.arrived_at
    return render(
        request,
        "accounts/my_access.html",
        {
            "roles": request.user.role_assignments.filter(from_at__lte=at, until_at__gt=at),
            "current": [
                (purpose, queries.team_permissions_of(user=request.user, purpose=purpose, at=at))
                for purpose in queries.purposes_for(user=request.user, at=at)
            ],
            "ended": queries.ended_team_permissions_of(user=request.user, at=at),
            "has_undertaken": queries.has_undertaken(user=request.user, at=at),
        },
    )


class PreferencesForm(forms.Form):
    """How the player behaves for me; kept on the server, never in the browser."""

    keys = forms.ChoiceField(choices=[("on", "on"), ("off", "off")], required=False)
    skip_silence = forms.ChoiceField(choices=[("on", "on"), ("off", "off")], required=False)
    speed = forms.DecimalField(max_digits=3, decimal_places=2, required=False)


@require_POST
def preferences(request: SignedInRequest) -> HttpResponse:
    """Remember how the player behaves for me."""
    form = PreferencesForm(request.POST)
    if not form.is_valid():
        return HttpResponse(status=422)
    said = form.cleaned_data
    operations.set_preferences(
        user=request.user,
        uses_letter_keys=said["keys"] == "on" if said["keys"] else None,
        playback_speed=said["speed"],
        skips_silence=said["skip_silence"] == "on" if said["skip_silence"] else None,
    )
    return HttpResponse(status=204)
