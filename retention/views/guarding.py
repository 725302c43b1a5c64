"""Whose rows a page shows: those of the companies for which the person holds the permission."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn
from urllib.parse import urlencode

from django.http import Http404

from accounts.http import SignedInRequest
from accounts.models import Controller
from accounts.operations import refuse_page
from accounts.queries import controllers_for
from recordings.paging import Cursor, Page

PAGE_SIZE = 50


def mine(request: SignedInRequest, permission: str) -> list[Controller]:
    """The companies for which the person holds the permission."""
    return controllers_for(user=request.user, permission=permission, at=request.arrived_at)


def sees_all(controllers: Sequence[Controller]) -> bool:
    """Whether these are all companies there are, so that sums over all of them may be shown."""
    return not Controller.objects.exclude(pk__in=[one.pk for one in controllers]).exists()


def check_all_mine(request: SignedInRequest, permission: str) -> None:
    """Answer 404, and say so in the log, unless the permission is held for all companies."""
    if not sees_all(mine(request, permission)):
        refuse(request, None)


def check_is_mine(request: SignedInRequest, permission: str, controller: Controller | None) -> None:
    """
    Answer 404, and say so in the company's log, if the row is another company's.

    None is a row of the whole installation.
    """
    if not request.user.has_perm(permission, controller):
        refuse(request, controller)


def refuse(request: SignedInRequest, controller: Controller | None) -> NoReturn:
    """Say in the company's log, or the installation's, that the page was refused; answer 404."""
    match = request.resolver_match
    refuse_page(
        user=request.user,
        page=match.view_name if match else "unknown",
        log=controller.pk if controller else None,
        now=request.arrived_at,
    )
    raise Http404


def cursor_of(request: SignedInRequest) -> Cursor | None:
    """Where the page begins, as the address says."""
    return Cursor.parse(request.GET.get("cursor", ""))


def page_links(page: Page[Any], **kept: str) -> dict[str, str]:
    """The addresses of the neighboring pages, for partials/page_links.html."""

    def address(cursor: Cursor | None) -> str:
        return f"?{urlencode({**kept, 'cursor': str(cursor)})}" if cursor else ""

    return {"newer_url": address(page.newer), "older_url": address(page.older)}
