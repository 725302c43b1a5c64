"""Pages that lift holds: one person proposes, a second one agrees."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from accounts.http import SignedInRequest
from accounts.permissions import needs_permission
from recordings.keyring import FileKeyring, KeyringUnavailable
from retention.forms import ReasonForm
from retention.models import Criterion, Hold, Lifting, Matter
from retention.operations import liftings as deeds
from retention.operations.holds import MatterClosed
from retention.views.guarding import check_is_mine
from retention.views.matters import HOLD, find_matter

REFUSALS = (
    *(deeds.NothingToLift, deeds.ProposedAlready, deeds.LiftingSettled),
    *(deeds.SamePerson, deeds.AnotherPerson, MatterClosed),
)


@require_http_methods(["GET", "POST"])
@needs_permission(HOLD)
def hold_lift(request: SignedInRequest, hold_id: UUID) -> HttpResponse:
    """Propose to lift the matter's holds on one conversation."""
    hold = get_object_or_404(Hold.objects.select_related("matter__controller"), pk=hold_id)
    check_is_mine(request, HOLD, hold.matter.controller)
    return _propose(
        request,
        hold.matter,
        heading=_("Propose to lift the hold"),
        consequence=_(
            "The hold stays until a second person agrees. Then the matter's handlers lose the "
            "conversation; if its time has ended and nothing else holds it, the next purge run "
            "destroys it."
        ),
        propose=lambda reason: deeds.propose_lifting(
            matter=hold.matter,
            conversation_ids=[hold.conversation_id],
            reason=reason,
            proposed_by=request.user,
            now=request.arrived_at,
        ),
    )


@require_http_methods(["GET", "POST"])
@needs_permission(HOLD)
def criterion_drop(request: SignedInRequest, criterion_id: UUID) -> HttpResponse:
    """Propose to drop a criterion, with the holds placed for it."""
    criterion = get_object_or_404(
        Criterion.objects.select_related("matter__controller"), pk=criterion_id
    )
    check_is_mine(request, HOLD, criterion.matter.controller)
    return _propose(
        request,
        criterion.matter,
        heading=_("Propose to drop the criterion"),
        consequence=_(
            "It stays until a second person agrees. Then what it alone holds is lifted, and what "
            "is captured later is not held by it."
        ),
        propose=lambda reason: deeds.propose_dropping(
            criterion=criterion, reason=reason, proposed_by=request.user, now=request.arrived_at
        ),
    )


@require_http_methods(["GET", "POST"])
@needs_permission(HOLD)
def matter_close(request: SignedInRequest, matter_id: UUID) -> HttpResponse:
    """Propose to close a matter, with all its holds."""
    matter = find_matter(request, HOLD, matter_id)
    return _propose(
        request,
        matter,
        heading=_("Propose to close “%(name)s”") % {"name": matter.name},
        consequence=_(
            "It stays open until a second person agrees. Then all its holds are lifted and its "
            "handlers lose what they heard by it; what is due goes with the next purge run."
        ),
        propose=lambda reason: deeds.propose_closing(
            matter=matter, reason=reason, proposed_by=request.user, now=request.arrived_at
        ),
    )


@require_http_methods(["GET", "POST"])
@needs_permission(HOLD)
def lifting_agree(request: SignedInRequest, lifting_id: UUID) -> HttpResponse:
    """Agree to a proposal as its second person, once it has been said what follows."""
    lifting = _lifting(request, lifting_id)
    if request.method == "POST":
        try:
            done = deeds.agree_to_lifting(
                lifting=lifting,
                agreed_by=request.user,
                keyring=FileKeyring.from_settings(),
                now=request.arrived_at,
            )
        except (*REFUSALS, KeyringUnavailable) as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, _agreed(done))
        return redirect("retention:matter", lifting.matter_id)
    return render(
        request,
        "retention/lifting_agree.html",
        {
            "lifting": lifting,
            "count": deeds.count_standing(lifting=lifting),
            "is_hers": lifting.proposed_by_id == request.user.pk,
        },
    )


@require_POST
@needs_permission(HOLD)
def lifting_take_back(request: SignedInRequest, lifting_id: UUID) -> HttpResponse:
    """Take back one's own proposal."""
    lifting = _lifting(request, lifting_id)
    try:
        deeds.take_back(lifting=lifting, taken_back_by=request.user, now=request.arrived_at)
    except REFUSALS as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, _("The proposal is taken back; everything stays held."))
    return redirect("retention:matter", lifting.matter_id)


def _lifting(request: SignedInRequest, lifting_id: UUID) -> Lifting:
    lifting = get_object_or_404(
        Lifting.objects.select_related("matter__controller", "proposed_by"), pk=lifting_id
    )
    check_is_mine(request, HOLD, lifting.matter.controller)
    return lifting


def _propose(
    request: SignedInRequest,
    matter: Matter,
    *,
    heading: str,
    consequence: str,
    propose: Callable[[str], Lifting],
) -> HttpResponse:
    form = ReasonForm(request.POST or None)
    if form.is_valid():
        try:
            propose(form.cleaned_data["reason"])
        except REFUSALS as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, _("It is proposed and waits for a second person."))
        return redirect("retention:matter", matter.pk)
    return render(
        request,
        "retention/confirm.html",
        {
            "heading": heading,
            "consequence": consequence,
            "form": form,
            "button": _("Propose"),
            "cancel_url": reverse("retention:matter", args=[matter.pk]),
        },
        status=422 if form.errors else 200,
    )


def _agreed(lifting: Lifting) -> str:
    if lifting.finished_at is None:
        return _("Agreed. The holds are being lifted; each bars destruction until it is.")
    return ngettext(
        "Agreed: %(count)d hold is lifted.",
        "Agreed: %(count)d holds are lifted.",
        lifting.lifted_count,
    ) % {"count": lifting.lifted_count}
