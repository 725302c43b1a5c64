"""Pages of matters: why something is held, who handles it, what it holds, what awaits somebody."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import IntegrityError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.http import SignedInRequest
from accounts.permissions import needs_permission
from recordings.paging import page_of
from retention import holding, queries, wording
from retention.forms import start_of
from retention.matter_forms import HandlerForm, MatterForm, PlaceForm, ReviewForm
from retention.models import Criterion, Lifting, Matter
from retention.operations import holds as deeds
from retention.operations.holds import MatterClosed, ReviewNotInTime
from retention.views.guarding import PAGE_SIZE, check_is_mine, cursor_of, mine, page_links

READ, HOLD = "retention.read", "retention.hold"


@require_safe
@needs_permission(READ)
def matters(request: SignedInRequest) -> HttpResponse:
    """Show what awaits somebody, and the matters, newest first."""
    controllers = mine(request, READ)
    page = page_of(
        holding.matters_of(controllers=controllers),
        field="opened_at",
        cursor=cursor_of(request),
        size=PAGE_SIZE,
    )
    to_review = holding.matters_to_review(at=request.arrived_at).filter(controller__in=controllers)
    waiting = holding.liftings_waiting(controllers=controllers)
    return render(
        request,
        "retention/matter_list.html",
        {
            "matters": page.rows,
            "now": request.arrived_at,
            "to_review": to_review[:PAGE_SIZE],
            "to_review_count": to_review.count(),
            "waiting": waiting[:PAGE_SIZE],
            "waiting_count": waiting.count(),
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
        said = form.cleaned_data
        review_at = start_of(said["review_date"], said["controller"])
        assert review_at is not None
        try:
            matter = deeds.open_matter(
                controller=said["controller"],
                code=said["code"],
                name=said["name"],
                reason=said["reason"],
                review_at=review_at,
                opened_by=request.user,
                now=request.arrived_at,
            )
        except IntegrityError:
            form.add_error("code", _("The company has a matter of that code already."))
        except ReviewNotInTime as refused:
            form.add_error("review_date", str(refused))
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
    return matter_page(request, find_matter(request, READ, matter_id))


@require_safe
@needs_permission(READ)
def matter_progress(request: SignedInRequest, matter_id: UUID) -> HttpResponse:
    """Show how far placing and lifting are: the piece that the page asks for every two seconds."""
    matter = find_matter(request, READ, matter_id)
    return render(
        request,
        "retention/_matter_progress.html",
        {"matter": matter, "going": _going(request, matter)},
    )


@require_POST
@needs_permission(HOLD)
def matter_handler_new(request: SignedInRequest, matter_id: UUID) -> HttpResponse:
    """Name a handler of the matter."""
    matter = find_matter(request, HOLD, matter_id)
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
    return matter_page(request, matter, handler_form=form)


@require_POST
@needs_permission(HOLD)
def matter_review(request: SignedInRequest, matter_id: UUID) -> HttpResponse:
    """Say that the matter was looked at again, and when it is the next time."""
    matter = find_matter(request, HOLD, matter_id)
    form = ReviewForm(request.POST)
    if form.is_valid():
        next_at = start_of(form.cleaned_data["next_date"], matter.controller)
        assert next_at is not None
        try:
            deeds.review_matter(
                matter=matter,
                next_at=next_at,
                reason=form.cleaned_data["reason"],
                reviewed_by=request.user,
                now=request.arrived_at,
            )
        except ReviewNotInTime as refused:
            form.add_error("next_date", str(refused))
        except MatterClosed as refused:
            form.add_error(None, str(refused))
        else:
            messages.success(request, _("The matter goes on."))
            return redirect("retention:matter", matter.pk)
    return matter_page(request, matter, review_form=form)


def find_matter(request: SignedInRequest, permission: str, matter_id: UUID) -> Matter:
    """The matter, if it is of a company of the person's; else 404, and the log says so."""
    matter = get_object_or_404(
        Matter.objects.select_related("controller", "opened_by"), pk=matter_id
    )
    check_is_mine(request, permission, matter.controller)
    return matter


def matter_page(
    request: SignedInRequest,
    matter: Matter,
    *,
    handler_form: HandlerForm | None = None,
    place_form: PlaceForm | None = None,
    review_form: ReviewForm | None = None,
) -> HttpResponse:
    """The matter's page, with the form that was refused."""
    page = page_of(
        matter.holds.select_related("placed_by", "lifted_by"),
        field="placed_at",
        cursor=cursor_of(request),
        size=PAGE_SIZE,
    )
    is_refused = any(form is not None for form in (handler_form, place_form, review_form))
    candidates = queries.case_handlers(matter.controller, at=request.arrived_at)
    criteria = list(matter.criteria.select_related("set_by").order_by("set_at", "pk"))
    names = wording.names_of(criteria)
    says = {one.pk: wording.criterion_says(one, names=names) for one in criteria}
    return render(
        request,
        "retention/matter.html",
        {
            "matter": matter,
            "is_to_review": matter.closed_at is None and matter.review_at <= request.arrived_at,
            "reviews": matter.reviews.select_related("reviewed_by")[:PAGE_SIZE],
            "handlers": matter.handlers.select_related("user").order_by("named_at"),
            "criteria": [{"row": one, "says": says[one.pk]} for one in criteria],
            "waiting": [
                {
                    "row": one,
                    "says": says[one.criterion_id] if one.criterion_id else None,
                    "count": len(one.hold_ids),
                }
                for one in matter.liftings.open().select_related("proposed_by")
            ],
            "going": _going(request, matter),
            "holds": page.rows,
            "holds_active": matter.holds.active().values("conversation").distinct().count(),
            "can_change": request.user.has_perm(HOLD, matter.controller),
            "handler_form": handler_form or HandlerForm(candidates=candidates),
            "place_form": place_form or PlaceForm(),
            "review_form": review_form or ReviewForm(),
            **page_links(page),
        },
        status=422 if is_refused else 200,
    )


def _going(request: SignedInRequest, matter: Matter) -> list[dict[str, Any]]:
    """What workers are at for the matter: done and total, whole percent, rate, sign of life."""
    at = request.arrived_at
    return [
        *(_progress(one, one.set_at, one.done_count, at=at) for one in matter.criteria.unapplied()),
        *(
            _progress(one, one.agreed_at, one.lifted_count, at=at)
            for one in matter.liftings.unfinished()
            if one.agreed_at is not None
        ),
    ]


def _progress(
    row: Criterion | Lifting, began_at: datetime, done: int, *, at: datetime
) -> dict[str, Any]:
    total = max(row.total_count, done)
    heard_at = row.heartbeat_at or began_at
    rate = done / max((heard_at - began_at).total_seconds(), 1.0)
    return {
        "id": row.pk,
        "is_lifting": isinstance(row, Lifting),
        "done": done,
        "total": total,
        "percent": 100 * done // total if total else 100,
        "per_second": round(rate, 1) if rate >= 0.1 else None,
        "left_seconds": round((total - done) / rate) if rate else None,
        "heartbeat_seconds": int((at - heard_at).total_seconds()),
    }
