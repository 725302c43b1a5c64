"""Carries to what is kept those rules and limits whose time has come since it was covered last."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Max

from accounts.models import Controller
from audit.events import Actor, EventType, Target
from audit.operations import append
from retention.models import PurposeLimit, RuleVersion
from retention.operations.recompute import request_recomputation
from retention.operations.rule_lock import change_alone
from retention.queries import last_change

ACTOR = Actor.system("rules")


def come_into_force(*, now: datetime) -> list[UUID]:
    """
    Have what is kept covered anew where rules or limits have begun to speak; safe to repeat.

    Late, it catches up with all of them. Returns the ids of the companies concerned.
    """
    return [
        controller.pk
        for controller in Controller.objects.order_by("pk")
        if _has_begun(controller, now) and _cover_anew(controller, now)
    ]


@transaction.atomic
def _cover_anew(controller: Controller, now: datetime) -> bool:
    change_alone(controller.pk)
    if not _has_begun(controller, now):
        return False  # another worker was faster
    append(
        event_type=EventType.RULES_ENFORCED,
        actor=ACTOR,
        now=now,
        log=controller.pk,
        target=Target("controller", str(controller.pk)),
        facts={"from": _last_begun(controller, now)},
    )
    request_recomputation(controller=controller, now=now)
    return True


def _has_begun(controller: Controller, now: datetime) -> bool:
    begun, last = _last_begun(controller, now), last_change(controller)
    return begun is not None and (last is None or begun > last)


def _last_begun(controller: Controller, now: datetime) -> datetime | None:
    """When a rule or limit of the controller last began to speak."""
    speaking = (
        RuleVersion.objects.filter(rule__controller=controller),
        PurposeLimit.objects.filter(controller=controller),
    )
    times: list[datetime] = []
    for rows in speaking:
        begun = rows.filter(in_force_from__lte=now, taken_back_at=None)
        last = begun.aggregate(last=Max("in_force_from"))["last"]
        times += [last] if last is not None else []
    return max(times, default=None)
