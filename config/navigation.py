"""The main menu: each person sees the pages her roles open."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.queries import purposes_for, roles_of
from accounts.roles import ROLES_BY_PERMISSION, Role

ENTRIES = [
    ("recordings:conversations", _("Conversations"), None),
    ("retention:attention", _("Needs attention"), "retention.see_attention"),
    ("retention:purge_runs", _("Purge runs"), "retention.read"),
    ("retention:rules", _("Rules"), "retention.read"),
    ("retention:matters", _("Matters and holds"), "retention.read"),
    ("retention:uncovered", _("Uncovered"), "retention.read"),
    ("recordings:quarantine", _("Quarantine"), "recordings.see_quarantine"),
    ("audit:log", _("Audit log"), "audit.read"),
    ("audit:growth", _("Retention of the log"), "audit.keep"),
    ("audit:report", _("Data subject's report"), "audit.report"),
    ("accounts:my_access", _("My access"), None),
    ("recordings:listened", _("Who has listened to me"), "recordings.see_own_looks"),
]


def menu(request: HttpRequest) -> dict[str, Any]:
    """Give templates the menu and who is signed in."""
    user = getattr(request, "user", None)
    at = getattr(request, "arrived_at", None)
    if user is None or not user.is_authenticated or at is None:
        return {}
    roles = roles_of(user=user, at=at)
    entries = []
    for name, label, permission in ENTRIES:
        if name == "recordings:conversations":
            is_shown = bool(purposes_for(user=user, at=at))
        else:
            is_shown = permission is None or roles.hold_anywhere(
                roles=ROLES_BY_PERMISSION[permission]
            )
        if is_shown:
            entries.append({"url": reverse(name), "label": label, "current": False})
    if user.is_staff:
        entries.append(
            {"url": reverse("admin:index"), "label": _("Administration"), "current": False}
        )
    _mark_current(entries, request.path)
    return {
        "menu": entries,
        "signed_in": {
            "name": user.full_name,
            "role": ", ".join(str(Role(name).label) for name in roles.names),
            "company": user.employer.name if user.employer else "",
        },
    }


def _mark_current(entries: list[dict[str, Any]], path: str) -> None:
    """Mark the entry whose address the path lies deepest under."""
    above = [entry for entry in entries if path.startswith(entry["url"])]
    if above:
        max(above, key=lambda entry: len(entry["url"]))["current"] = True
