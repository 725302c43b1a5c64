"""Writes down what companies tell the people whose conversations they keep."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from accounts.models import Controller, NoticedTime, PrivacyNotice, Purpose
from audit.events import Actor, EventType, Target
from audit.operations import append


@transaction.atomic
def write_notice(
    *,
    controller: Controller,
    version: str,
    in_force_from: datetime,
    months: Mapping[Purpose, int],
    actor: Actor,
    now: datetime,
) -> PrivacyNotice:
    """
    Write down a version of the company's privacy notice and the months it states by purpose.

    What that changes of conversations is for `retention.operations.notices` to see to.
    """
    notice = PrivacyNotice.objects.create(
        controller=controller, version=version, in_force_from=in_force_from, recorded_at=now
    )
    NoticedTime.objects.bulk_create(
        NoticedTime(notice=notice, purpose=purpose, months=count)
        for purpose, count in months.items()
    )
    append(
        event_type=EventType.PRIVACY_NOTICE_RECORDED,
        actor=actor,
        now=now,
        log=controller.pk,
        target=Target("privacy_notice", str(notice.pk)),
        facts={
            "from": in_force_from,
            "changed": sorted(f"{purpose.code}:{count}" for purpose, count in months.items()),
        },
    )
    return notice
