"""Pages of matters, their handlers and the holds placed for them."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.db import IntegrityError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.http import SignedInRequest
from accounts.permissions import needs_permission
from recordings.keyring import FileKeyring, KeyDoesNotFit, KeyMissing, KeyringUnavailable
from recordings.models import Conversation
from recordings.paging import page_of
from retention import queries
from retention.forms import HandlerForm, MatterForm, PlaceForm, PlaceOnForm
from retention.models import Hold, Matter
from retention.operations import holds as deeds
from retention.operations.holds import MatterClosed, NotOfThisCompany, PlacedHolds
from retention.views.guarding import PAGE_SIZE, check_is_mine, cursor_of, mine, page_links
from retention.wording import moment

READ, HOLD = "retention.read", "retention.hold"
KEYS_FAILED = (KeyringUnavailable, KeyMissing, KeyDoesNotFit)


@require_safe
@needs_permission(READ)
def matters(request: SignedInRequest) -> HttpResponse:
    """Show the matters, and all holds, newest first."""
    controllers = mine(request, READ)
    page = page_of(
        Hold.objects.filter(matter__controller__in=controllers).select_related(
            "matter", "placed_by", "lifted_by"
        ),
        field="placed_at",
        cursor=cursor_of(request),
        size=PAGE_SIZE,
    )
    return render(
        request,
        "retention/hold_list.html",
        {
            "matters": queries.matters_of(controllers=controllers),
            "holds": page.rows,
            "can_change": bool(mine(request, HOLD)),
            **page_links(page),
        },
    )


@require_http_methods(["GET", "POST"])
@needs_permission(HOLD)
def matter_new(request: SignedInRequest) -> HttpResponse:
    """Open a matter."""
    form = MatterForm(request.POST or None, controllers=mine(request, HOLD))
    if form.is_valid():
        try:
            matter = deeds.open_matter(
                **form.cleaned_data, opened_by=request.user, now=request.arrived_at
            )
        except IntegrityError:
            form.add_error("code", _("The company has a matter of that code already."))
        else:
            messages.success(request, _("The matter is open. Name its handlers and place holds."))
            return redirect("retention:matter", matter.pk)
    return render(
        request, "retention/matter_form.html", {"form": form}, status=422 if form.errors else 200
    )


@require_safe
@needs_permission(READ)
def matter(request: SignedInRequest, matter_id: UUID) -> HttpResponse:
    """Show a matter: why, who handles it, what it holds."""
    return _matter_page(request, _matter(request, READ, matter_id))


@require_POST
@needs_permission(HOLD)
def matter_handler_new(request: SignedInRequest, matter_id: UUID) -> HttpResponse:
    """Name a handler of the matter."""
    matter = _matter(request, HOLD, matter_id)
    form = HandlerForm(
        request.POST,
        candidates=queries.case_handlers(matter.controller, at=request.arrived_at),
    )
    if form.is_valid():
        try:
            deeds.add_handler(
                matter=matter,
                handler=form.cleaned_data["handler"],
                added_by=request.user,
                now=request.arrived_at,
            )
        except MatterClosed as refused:
            form.add_error(None, str(refused))
        else:
            messages.success(request, _("The handler is named."))
            return redirect("retention:matter", matter.pk)
    return _matter_page(request, matter, handler_form=form)


@require_POST
@needs_permission(HOLD)
def hold_place(request: SignedInRequest, matter_id: UUID) -> HttpResponse:
    """Place holds on conversations for the matter."""
    matter = _matter(request, HOLD, matter_id)
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
    return _matter_page(request, matter, place_form=form)


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
def hold_lift(request: SignedInRequest, hold_id: UUID) -> HttpResponse:
    """Lift one hold, once it has been said what follows."""
    hold = get_object_or_404(Hold.objects.select_related("matter__controller"), pk=hold_id)
    check_is_mine(request, HOLD, hold.matter.controller)
    if request.method == "POST":
        try:
            lifted = deeds.lift_hold(
                matter=hold.matter,
                conversation_ids=[hold.conversation_id],
                lifted_by=request.user,
                keyring=FileKeyring.from_settings(),
                now=request.arrived_at,
            )
        except KEYS_FAILED as refused:
            messages.error(request, str(refused))
        else:
            if lifted:
                messages.success(request, _("The hold is lifted."))
            else:
                messages.info(request, _("The hold had been lifted before; nothing changed."))
        return redirect("retention:matter", hold.matter_id)
    return render(
        request,
        "retention/confirm.html",
        {
            "heading": _("Lift the hold"),
            "consequence": _(
                "The matter's handlers lose the conversation. If its time has ended and no other "
                "matter holds it, the next purge run destroys it."
            ),
            "button": _("Lift the hold"),
            "cancel_url": reverse("retention:matter", args=[hold.matter_id]),
        },
    )


@require_http_methods(["GET", "POST"])
@needs_permission(HOLD)
def matter_close(request: SignedInRequest, matter_id: UUID) -> HttpResponse:
    """Close a matter and lift all its holds, once it has been said what follows."""
    matter = _matter(request, HOLD, matter_id)
    if request.method == "POST":
        try:
            lifted = deeds.close_matter(
                matter=matter,
                closed_by=request.user,
                keyring=FileKeyring.from_settings(),
                now=request.arrived_at,
            )
        except (MatterClosed, *KEYS_FAILED) as refused:
            messages.error(request, str(refused))
        else:
            messages.success(
                request,
                ngettext(
                    "The matter is closed; %(count)d hold was lifted.",
                    "The matter is closed; %(count)d holds were lifted.",
                    len(lifted),
                )
                % {"count": len(lifted)},
            )
        return redirect("retention:matter", matter.pk)
    return render(
        request,
        "retention/confirm.html",
        {
            "heading": _("Close “%(name)s”") % {"name": matter.name},
            "consequence": _(
                "All its holds are lifted and its handlers lose what they heard by it. What is "
                "due then goes with the next purge run."
            ),
            "button": _("Close the matter"),
            "cancel_url": reverse("retention:matter", args=[matter.pk]),
        },
    )


def _matter(request: SignedInRequest, permission: str, matter_id: UUID) -> Matter:
    matter = get_object_or_404(
        Matter.objects.select_related("controller", "opened_by"), pk=matter_id
    )
    check_is_mine(request, permission, matter.controller)
    return matter


def _matter_page(
    request: SignedInRequest,
    matter: Matter,
    *,
    handler_form: HandlerForm | None = None,
    place_form: PlaceForm | None = None,
) -> HttpResponse:
    page = page_of(
        matter.holds.select_related("placed_by", "lifted_by"),
        field="placed_at",
        cursor=cursor_of(request),
        size=PAGE_SIZE,
    )
    is_refused = handler_form is not None or place_form is not None
    candidates = queries.case_handlers(matter.controller, at=request.arrived_at)
    return render(
        request,
        "retention/matter.html",
        {
            "matter": matter,
            "handlers": matter.handlers.select_related("user").order_by("named_at"),
            "holds": page.rows,
            "holds_active": matter.holds.filter(lifted_at=None).count(),
            "can_change": request.user.has_perm(HOLD, matter.controller),
            "handler_form": handler_form or HandlerForm(candidates=candidates),
            "place_form": place_form or PlaceForm(),
            **page_links(page),
        },
        status=422 if is_refused else 200,
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
