"""What speaks against a rule or a limit, each in one sentence; asks, and writes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts.models import Controller, Purpose, Queue, Team
from recordings.models import Conversation
from retention.due_dates import can_fall_short, can_outlast
from retention.models import PurposeLimit, RetentionRule, RuleVersion

if TYPE_CHECKING:
    from retention.drafts import Draft

LONGEST_MONTHS = 1200
LONGEST_DAYS = 3660
LONGEST_SECONDS = 31 * 86_400
MOST_WORDS = 50
# As manifests bear them: recordings/formats/manifest.schema.json.
OUTCOME = re.compile(r"(?=.{1,50}$)[a-z0-9]+([-_][a-z0-9]+)*")
LANGUAGE = re.compile(r"(?=.{2,10}$)[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
TAG = re.compile(r"[^\x00-\x1f]{1,50}")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something is refused: the field it concerns, and a sentence fit to show a person."""

    field: str
    sentence: Promise | str


def problems_of_name(*, controller: Controller, name: str) -> list[Problem]:
    """What speaks against a new rule of the controller bearing this name."""
    if not name.strip():
        return [Problem("name", _("A rule needs a name."))]
    other = RetentionRule.objects.filter(controller=controller, name__iexact=name.strip()).first()
    if other is not None:
        return [
            Problem(
                "name",
                format_lazy(
                    _("There is a rule of that name already: {name}. Change that one."),
                    name=other.name,
                ),
            )
        ]
    return []


def problems_of_terms(
    *, controller: Controller, purpose: Purpose, draft: Draft, at: datetime
) -> list[Problem]:
    """What speaks against a version of a rule for the purpose saying this from that time on."""
    return [
        *_of_time(draft),
        *_of_basis(draft),
        *_of_scope(controller, draft),
        *_of_limits(controller, purpose, draft, at),
    ]


def problems_of_limit(
    *,
    controller: Controller,
    purpose: Purpose,
    floor_months: int | None,
    ceiling_months: int | None,
    source: str,
    at: datetime,
) -> list[Problem]:
    """What speaks against these limits of the purpose: themselves, or a rule in force then."""
    problems = [
        Problem(field, format_lazy(_("Give 0 to {most} months."), most=LONGEST_MONTHS))
        for field, months in (("floor_months", floor_months), ("ceiling_months", ceiling_months))
        if months is not None and not 0 <= months <= LONGEST_MONTHS
    ]
    if problems:
        return problems
    if not source.strip():
        problems.append(Problem("source", _("Name the statute or the decision it rests on.")))
    if floor_months is not None and ceiling_months is not None and floor_months > ceiling_months:
        problems.append(
            Problem(
                "floor_months",
                format_lazy(
                    _("The floor of {floor} months is above the ceiling of {ceiling} months."),
                    floor=floor_months,
                    ceiling=ceiling_months,
                ),
            )
        )
    for versions in (
        RuleVersion.objects.in_force(at=at),
        RuleVersion.objects.waiting(at=at).filter(is_retired=False),
    ):
        rows = versions.filter(
            rule__controller=controller, rule__purpose=purpose, is_exclusion=False
        )
        for version in rows.select_related("rule").order_by("rule__name"):
            problems += _between(version, floor_months, ceiling_months)
    return problems


def _between(
    version: RuleVersion, floor_months: int | None, ceiling_months: int | None
) -> Iterator[Problem]:
    keep = {"months": version.keep_months, "days": version.keep_days}
    most = keep if version.cap_months is None else {"months": version.cap_months, "days": 0}
    if floor_months is not None and can_fall_short(**keep, limit_months=floor_months):
        yield Problem(
            "floor_months",
            format_lazy(
                _("The rule “{name}” keeps less than {months} months. Change it first."),
                name=version.rule.name,
                months=floor_months,
            ),
        )
    if ceiling_months is not None and can_outlast(**most, limit_months=ceiling_months):
        yield Problem(
            "ceiling_months",
            format_lazy(
                _("The rule “{name}” keeps more than {months} months. Change it first."),
                name=version.rule.name,
                months=ceiling_months,
            ),
        )


def _of_time(draft: Draft) -> Iterator[Problem]:
    if draft.is_exclusion:
        if draft.keep_months or draft.keep_days or draft.cap_months is not None:
            yield Problem("is_exclusion", _("An exclusion keeps nothing: leave the times empty."))
        if draft.trigger != RuleVersion.Trigger.ENDED_AT:
            yield Problem("trigger", _("An exclusion keeps nothing, counted from nothing."))
        return
    if draft.keep_months < 0 or draft.keep_months > LONGEST_MONTHS:
        yield Problem(
            "keep_months", format_lazy(_("Give 0 to {most} months."), most=LONGEST_MONTHS)
        )
    if draft.keep_days < 0 or draft.keep_days > LONGEST_DAYS:
        yield Problem("keep_days", format_lazy(_("Give 0 to {most} days."), most=LONGEST_DAYS))
    if draft.keep_months == 0 and draft.keep_days == 0:
        yield Problem("keep_months", _("Say how long: months, days or both."))
    yield from _of_trigger(draft)


def _of_trigger(draft: Draft) -> Iterator[Problem]:
    cap = draft.cap_months
    if draft.trigger not in RuleVersion.Trigger.values:
        yield Problem("trigger", _("What the time is counted from is not known here."))
    elif draft.trigger == RuleVersion.Trigger.ENDED_AT:
        if cap is not None:
            yield Problem(
                "cap_months",
                _("A cap is for a time that is counted from an event: leave it empty."),
            )
    elif cap is None:
        yield Problem("cap_months", _("Say how long at the most, should the event never come."))
    elif not 0 < cap <= LONGEST_MONTHS:
        yield Problem("cap_months", format_lazy(_("Give 1 to {most} months."), most=LONGEST_MONTHS))
    elif (
        0 <= draft.keep_months <= LONGEST_MONTHS
        and 0 <= draft.keep_days <= LONGEST_DAYS
        and can_outlast(months=draft.keep_months, days=draft.keep_days, limit_months=cap)
    ):
        yield Problem(
            "cap_months", _("The cap is shorter than the time itself, which it would always cut.")
        )


def _of_basis(draft: Draft) -> Iterator[Problem]:
    if draft.legal_basis not in RuleVersion.LegalBasis.values and not (
        draft.is_exclusion and draft.legal_basis == ""
    ):
        yield Problem("legal_basis", _("A rule needs a legal basis (GDPR Art. 6(1))."))


def _of_scope(controller: Controller, draft: Draft) -> Iterator[Problem]:
    if set(draft.kinds) - set(Conversation.Kind.values):
        yield Problem("kinds", _("A kind that is named is not known here."))
    yield from _of_details(draft)
    if Team.objects.filter(pk__in=draft.teams).count() != len(set(draft.teams)):
        yield Problem("teams", _("A team that is named is not known here."))
    queues = list(Queue.objects.filter(pk__in=draft.queues, controller=controller))
    if len(queues) != len(set(draft.queues)):
        yield Problem("queues", _("A queue that is named is not one of the company's."))
    if not draft.article_9_condition.strip() and not draft.is_exclusion:
        for queue in queues:
            if queue.holds_health_data:
                yield Problem(
                    "article_9_condition",
                    format_lazy(
                        _("The queue “{name}” may hold health data: name the condition of Art. 9."),
                        name=queue.name,
                    ),
                )


def _of_details(draft: Draft) -> Iterator[Problem]:
    if set(draft.directions) - set(Conversation.Direction.values):
        yield Problem("directions", _("A direction that is named is not known here."))
    for name, words, form in (
        ("outcomes", draft.outcomes, OUTCOME),
        ("languages", draft.languages, LANGUAGE),
        ("tags", draft.tags, TAG),
    ):
        if len(words) > MOST_WORDS:
            yield Problem(name, format_lazy(_("Name at most {most}."), most=MOST_WORDS))
        if not all(form.fullmatch(word) for word in words):
            yield Problem(name, _("One of these cannot be what a conversation bears."))
    shortest, longest = draft.shortest_seconds, draft.longest_seconds
    for name, seconds in (("shortest_seconds", shortest), ("longest_seconds", longest)):
        if seconds is not None and not 0 <= seconds <= LONGEST_SECONDS:
            yield Problem(name, format_lazy(_("Give 0 to {most} seconds."), most=LONGEST_SECONDS))
    if shortest is not None and longest is not None and shortest > longest:
        yield Problem(
            "longest_seconds", _("The shortest is longer than the longest: nothing would match.")
        )


def _of_limits(
    controller: Controller, purpose: Purpose, draft: Draft, at: datetime
) -> Iterator[Problem]:
    if draft.is_exclusion or any(_of_time(draft)):
        return
    for limits in (PurposeLimit.objects.in_force(at=at), PurposeLimit.objects.waiting(at=at)):
        for limit in limits.filter(controller=controller, purpose=purpose):
            yield from _of_limit(limit, purpose, draft)


def _of_limit(limit: PurposeLimit, purpose: Purpose, draft: Draft) -> Iterator[Problem]:
    keep = {"months": draft.keep_months, "days": draft.keep_days}
    most = keep if draft.cap_months is None else {"months": draft.cap_months, "days": 0}
    ceiling, floor = limit.ceiling_months, limit.floor_months
    if ceiling is not None and can_outlast(**most, limit_months=ceiling):
        yield Problem(
            "keep_months" if draft.cap_months is None else "cap_months",
            format_lazy(
                _("That is longer than the ceiling of {months} months for “{purpose}” ({source})."),
                months=ceiling,
                purpose=purpose,
                source=limit.source,
            ),
        )
    if floor is not None and can_fall_short(**keep, limit_months=floor):
        yield Problem(
            "keep_months",
            format_lazy(
                _("That is shorter than the floor of {months} months for “{purpose}” ({source})."),
                months=floor,
                purpose=purpose,
                source=limit.source,
            ),
        )
