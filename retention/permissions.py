"""Who may read and change what retention keeps; the rule itself is stated in accounts.roles."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from accounts.models import Controller, User


class NotEntitled(Exception):
    """The person has no role that allows the deed for that company."""

    def __init__(self) -> None:
        super().__init__(_("You do not have a role for this at that company."))


def check_can_read(*, user: User, controller: Controller) -> None:
    """Raise NotEntitled unless the person may see the company's rules, holds and runs."""
    _check(user, "retention.read", controller)


def check_can_change_rules(*, user: User, controller: Controller | None) -> None:
    """
    Raise NotEntitled unless the person may propose and approve the company's rules and limits.

    None is the whole installation: what concerns the conversations of every company.
    """
    _check(user, "retention.change_rules", controller)


def check_can_hold(*, user: User, controller: Controller) -> None:
    """Raise NotEntitled unless the person may open matters and place or lift their holds."""
    _check(user, "retention.hold", controller)


def check_can_dispose(*, user: User, controller: Controller) -> None:
    """Raise NotEntitled unless the person may propose what to do with what waits."""
    _check(user, "retention.dispose", controller)


def check_can_agree_to_dispose(*, user: User, controller: Controller) -> None:
    """Raise NotEntitled unless the person may be the second of the two."""
    _check(user, "retention.agree_to_dispose", controller)


def _check(user: User, permission: str, controller: Controller | None) -> None:
    if not user.has_perm(permission, controller):
        raise NotEntitled
