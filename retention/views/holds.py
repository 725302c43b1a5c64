"""Pages that place holds: what a matter is to hold, by identifier or by what it is like."""

from __future__ import annotations

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
from recordings.keyring import FileKeyring, KeyDoesNotFit, KeyMissing, KeyringUnavailable
from recordings.models import Conversation
from retention import wording
from retention.matter_forms import CriterionForm, PlaceForm, PlaceOnForm
from retention.models import Matter
from retention.operations import criteria
from retention.operations import holds as deeds
from retention.operations.holds import MatterClosed, NotOfThisCompany, PlacedHolds
from retention.views.guarding import check_is_mine
from retention.views.matters import HOLD, find_matter, matter_page
from retention.wording import moment

KEYS_FAILED = (KeyringUnavailable, KeyMissing, KeyDoesNotFit)


@require_POST
@needs_permission(HOLD)
def hold_place(request: SignedInRequest, matter_id: UUID) -> HttpResponse:
    """Place holds on conversations for the matter."""
    matter = find_matter(request, HOLD, matter_id)
    form = PlaceForm(request.POST)
    if form.is_valid():
        try:
            placed = deeds.place_hold(
                matter=matter,
                conversation_ids=form.cleaned_data["conversations"],
                placed_by=request.user,
                keyring=FileKeyring.from_settings(),
                now=request.arrived_at,
            )
        except (NotOfThisCompany, MatterClosed, *KEYS_FAILED) as refused:
            form.add_error("conversations", str(refused))
        else:
            _say(request, placed)
            return redirect("retention:matter", matter.pk)
    return matter_page(request, matter, place_form=form)


@require_http_methods(["GET", "POST"])
@needs_permission(HOLD)
def hold_place_on(request: SignedInRequest, conversation_id: UUID) -> HttpResponse:
    """Place a hold on one conversation, for a matter that is open."""
    conversation = get_object_or_404(
        Conversation.objects.select_related("controller"), pk=conversation_id
    )
    check_is_mine(request, HOLD, conversation.controller)
    form = PlaceOnForm(
        request.POST or None,
        matters=Matter.objects.filter(controller=conversation.controller, closed_at=None),
    )
    if form.is_valid():
        try:
            placed = deeds.place_hold(
                matter=form.cleaned_data["matter"],
                conversation_ids=[conversation.pk],
                placed_by=request.user,
                keyring=FileKeyring.from_settings(),
                now=request.arrived_at,
            )
        except (NotOfThisCompany, MatterClosed, *KEYS_FAILED) as refused:
            form.add_error(None, str(refused))
        else:
            _say(request, placed)
            return redirect("retention:explain", conversation.pk)
    return render(
        request,
        "retention/hold_form.html",
        {
            "form": form,
            "conversation": conversation,
            "cancel_url": reverse("retention:explain", args=[conversation.pk]),
        },
        status=422 if form.errors else 200,
    )


@require_http_methods(["GET", "POST"])
@needs_permission(HOLD)
def criterion_new(request: SignedInRequest, matter_id: UUID) -> HttpResponse:
    """Hold what matches: fill in, see how many conversations that are, confirm."""
    matter = find_matter(request, HOLD, matter_id)
    form = CriterionForm(request.POST or None, controller=matter.controller)
    if form.is_valid():
        try:
            draft = form.draft(customer_hash=_customer_hash(matter, form))
            if "confirmed" not in request.POST:
                return _confirm(request, matter, form, draft)
            criteria.set_criterion(
                matter=matter, draft=draft, set_by=request.user, now=request.arrived_at
            )
        except (
            *(criteria.CriterionSaysNothing, criteria.EndsBeforeItBegins),
            *(MatterClosed, KeyringUnavailable),
        ) as refused:
            form.add_error(None, str(refused))
        else:
            messages.success(
                request,
                _("From now on nothing that matches is destroyed. Holds are being placed."),
            )
            return redirect("retention:matter", matter.pk)
    return render(
        request,
        "retention/criterion_form.html",
        {"form": form, "matter": matter},
        status=422 if form.errors else 200,
    )


def _customer_hash(matter: Matter, form: CriterionForm) -> bytes | None:
    said = form.cleaned_data
    if said["identifier"]:
        return criteria.customer_hash(
            matter=matter,
            kind=said["identifier_kind"],
            value=said["identifier"],
            keyring=FileKeyring.from_settings(),
        )
    return bytes.fromhex(said["customer_hash"]) or None


def _confirm(
    request: SignedInRequest, matter: Matter, form: CriterionForm, draft: criteria.Draft
) -> HttpResponse:
    """Say what would be held; the customer goes along as her hash, not as she was typed."""
    kept = [
        (name, value)
        for name, values in request.POST.lists()
        for value in values
        if name in form.fields and name not in ("identifier", "customer_hash")
    ]
    if draft.customer_hash is not None:
        kept.append(("customer_hash", draft.customer_hash.hex()))
    return render(
        request,
        "retention/criterion_confirm.html",
        {
            "matter": matter,
            "says": wording.criterion_says(draft, names=wording.names_of([draft])),
            "count": criteria.count_matching(matter=matter, draft=draft),
            "hidden": kept,
        },
    )


def _say(request: SignedInRequest, placed: PlacedHolds) -> None:
    """Say what became of each conversation that was to be held."""
    if placed.placed:
        messages.success(
            request,
            ngettext(
                "%(count)d conversation is held.",
                "%(count)d conversations are held.",
                len(placed.placed),
            )
            % {"count": len(placed.placed)},
        )
    if placed.brought_back:
        messages.info(
            request,
            ngettext(
                "%(count)d of them had been withdrawn and was brought back.",
                "%(count)d of them had been withdrawn and were brought back.",
                len(placed.brought_back),
            )
            % {"count": len(placed.brought_back)},
        )
    if placed.held_already:
        messages.info(
            request,
            ngettext(
                "%(count)d was held by this matter already.",
                "%(count)d were held by this matter already.",
                len(placed.held_already),
            )
            % {"count": len(placed.held_already)},
        )
    for late in placed.too_late:
        messages.error(
            request,
            _("The hold on %(conversation)s came too late: its key was destroyed %(at)s.")
            % {
                "conversation": late.conversation_id,
                "at": moment(late.key_destroyed_at),
            },
        )
