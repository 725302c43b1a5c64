"""Pages of one thing that waits for a decision: what two persons can do with it before its time."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.http import SignedInRequest
from accounts.permissions import needs_permission
from recordings.models import QuarantinedItem
from retention.forms import DispositionForm
from retention.models import About, Disposition
from retention.operations import dispositions as deeds
from retention.permissions import NotEntitled
from retention.views.guarding import check_is_mine

AGREE = "retention.agree_to_dispose"
PROPOSE = "retention.dispose"


@require_http_methods(["GET", "POST"])
@needs_permission(AGREE)
def undecided_conversation(request: SignedInRequest, conversation_id: UUID) -> HttpResponse:
    """Decide about a conversation that no rule covers."""
    return _undecided(request, about=About.CONVERSATION, target=conversation_id)


@require_http_methods(["GET", "POST"])
@needs_permission(AGREE)
def undecided_item(request: SignedInRequest, item_id: UUID) -> HttpResponse:
    """Decide about an item in quarantine."""
    return _undecided(request, about=About.QUARANTINED, target=item_id)


def _undecided(request: SignedInRequest, *, about: About, target: UUID) -> HttpResponse:
    waiting = deeds.find_waiting(about=about, target=target)
    if waiting is None:
        raise Http404
    check_is_mine(request, AGREE, waiting.controller)
    proposed = deeds.open_disposition(target=target)
    form = DispositionForm(
        request.POST or None, can_extend=not deeds.has_been_extended(target=target)
    )
    if request.method == "POST":
        try:
            if _do(request, waiting, proposed, form):
                return redirect(request.path)
        except (deeds.DispositionRefused, NotEntitled) as refused:
            messages.error(request, str(refused))
            return redirect(request.path)
    return render(
        request,
        "retention/undecided.html",
        {
            "waiting": waiting,
            "item": QuarantinedItem.objects.filter(pk=target).first()
            if about is About.QUARANTINED
            else None,
            "list_url": reverse(
                "retention:uncovered" if about is About.CONVERSATION else "recordings:quarantine"
            ),
            "proposed": proposed,
            "is_hers": proposed is not None and proposed.proposed_by_id == request.user.pk,
            "form": form if request.user.has_perm(PROPOSE, waiting.controller) else None,
            "can_change_rules": about is About.CONVERSATION
            and request.user.has_perm("retention.change_rules", waiting.controller),
        },
        status=422 if request.method == "POST" else 200,
    )


def _do(
    request: SignedInRequest,
    waiting: deeds.Waiting,
    proposed: Disposition | None,
    form: DispositionForm,
) -> bool:
    """Do what the form says. Returns False if it has to be filled in again."""
    deed, user, now = request.POST.get("deed"), request.user, request.arrived_at
    if deed == "agree" and proposed is not None:
        deeds.agree(disposition=proposed, user=user, now=now)
        messages.success(request, _("Agreed. It is carried out within a minute."))
    elif deed == "take_back" and proposed is not None:
        deeds.take_back(disposition=proposed, user=user, now=now)
        messages.success(request, _("The proposal is taken back."))
    elif deed == "propose" and form.is_valid():
        deeds.propose(
            about=waiting.about,
            target=waiting.target,
            kind=Disposition.Kind(form.cleaned_data["kind"]),
            reason=form.cleaned_data["reason"],
            subject_is_told=form.cleaned_data["subject_is_told"],
            user=user,
            now=now,
        )
        messages.success(request, _("Proposed. Another person has to agree."))
    else:
        return False
    return True
