"""Accepting the undertaking of confidentiality."""

from __future__ import annotations

from datetime import datetime

from dateutil.relativedelta import relativedelta
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import Undertaking, User
from accounts.queries import actor_for, current_text
from audit.events import EventType, Target
from audit.operations import append


class NothingToAccept(Exception):
    """The version that was read is no longer the one in force."""

    def __init__(self) -> None:
        super().__init__(_("The undertaking has changed. Read the new text and accept that."))


@transaction.atomic
def accept_undertaking(*, user: User, version: int, now: datetime) -> Undertaking:
    """
    Bind the person to the version she has read, from now on for its months.

    Accepting again renews. Raises NothingToAccept when another version is in force.

    Source: Insurance Companies Act (521/2008) 30:1 on the duty of confidentiality.
    """
    text = current_text(at=now)
    if text is None or text.version != version:
        raise NothingToAccept
    undertaking = Undertaking.objects.create(
        user=user,
        text=text,
        from_at=now,
        until_at=now + relativedelta(months=text.valid_months),
    )
    append(
        event_type=EventType.UNDERTAKING_ACCEPTED,
        actor=actor_for(user=user, at=now),
        now=now,
        log=None,
        target=Target("user", str(user.reference)),
        facts={"version": version, "until": undertaking.until_at},
    )
    return undertaking
