"""Records what companies' privacy notices state of how long conversations are kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import Controller, PrivacyNotice, Purpose, User
from accounts.operations.notices import write_notice
from accounts.queries import actor_for
from retention.operations.contradictions import LONGEST_MONTHS, Problem
from retention.operations.recompute import request_recomputation
from retention.operations.rule_lock import change_alone
from retention.operations.rules import RuleRefused
from retention.permissions import check_can_change_rules


@transaction.atomic
def record_notice(
    *,
    controller: Controller,
    version: str,
    in_force_from: datetime,
    months: Mapping[Purpose, int],
    user: User,
    now: datetime,
) -> PrivacyNotice:
    """
    Record a version of the company's privacy notice and the months it states for each purpose.

    It is never changed; another follows. Conversations that name it are covered anew, since a rule
    may now last longer for them.

    Raises:
        NotEntitled: the person is not a compliance officer of the controller.
        RuleRefused: there is one of that version, or the months cannot be.
    """
    check_can_change_rules(user=user, controller=controller)
    change_alone(controller.pk)
    problems = []
    if not version.strip():
        problems.append(Problem("version", _("A notice needs the name of its version.")))
    if PrivacyNotice.objects.filter(controller=controller, version=version.strip()).exists():
        problems.append(
            Problem("version", _("This version is recorded already; a notice never changes."))
        )
    if not all(0 < count <= LONGEST_MONTHS for count in months.values()):
        problems.append(Problem("months", _("Months that a notice states are 1 to 1200.")))
    if problems:
        raise RuleRefused(problems)
    notice = write_notice(
        controller=controller,
        version=version.strip(),
        in_force_from=in_force_from,
        months=months,
        actor=actor_for(user=user, at=now),
        now=now,
    )
    request_recomputation(controller=controller, now=now)
    return notice
