"""Signing in and out, and pages that were refused."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from accounts.models import User
from accounts.queries import actor_for
from audit.events import Actor, EventType, Outcome, Target
from audit.operations import append_alone


def record_sign_in(*, user: User, now: datetime) -> None:
    """Write that the person signed in. Raises AuditUnavailable, and then she does not."""
    append_alone(
        event_type=EventType.SESSION_SIGNED_IN,
        actor=actor_for(user=user, at=now),
        now=now,
        log=None,
        target=Target("user", str(user.reference)),
    )


def record_sign_out(*, user: User, now: datetime) -> None:
    """Write that the person signed out."""
    append_alone(
        event_type=EventType.SESSION_SIGNED_OUT,
        actor=actor_for(user=user, at=now),
        now=now,
        log=None,
        target=Target("user", str(user.reference)),
    )


def record_password_change(*, user: User, now: datetime) -> None:
    """Write that she changes her password. Raises AuditUnavailable, and then she does not."""
    append_alone(
        event_type=EventType.PASSWORD_CHANGED,
        actor=actor_for(user=user, at=now),
        now=now,
        log=None,
        target=Target("user", str(user.reference)),
    )


def record_refused_sign_in(*, tried: str, address: str, reason: str, now: datetime) -> None:
    """Write that somebody was refused; what she typed and whence lies in the erasable detail."""
    append_alone(
        event_type=EventType.SESSION_REFUSED,
        actor=Actor.system("sign_in"),
        now=now,
        log=None,
        outcome=Outcome.DENY,
        facts={"reason": reason},
        detail={"tried": tried[:200], "address": address[:64]},
    )


def refuse_page(*, user: User, page: str, log: UUID | None, now: datetime) -> None:
    """Write that a person opened a page that is not hers; `page` is a route's name."""
    append_alone(
        event_type=EventType.PAGE_REFUSED,
        actor=actor_for(user=user, at=now),
        now=now,
        log=log,
        outcome=Outcome.DENY,
        facts={"page": page},
    )
