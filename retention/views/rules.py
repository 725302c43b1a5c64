"""Pages of retention rules and of what bounds them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from accounts.http import SignedInRequest
from accounts.models import Controller, Purpose
from accounts.permissions import needs_permission
from retention import queries, wording
from retention.changes import LimitChange, RuleChange
from retention.drafts import Draft, fields_of
from retention.forms import IntentForm, LimitForm
from retention.models import Proposal, PurposeLimit, RetentionRule, RuleVersion
from retention.operations import rules as deeds
from retention.operations.effect import effect_of_version
from retention.operations.proposing import ProposalOpen
from retention.operations.rules import (
    NothingChanged,
    RuleChangedMeanwhile,
    RuleNotInForce,
    RuleRefused,
)
from retention.rule_forms import ChangedRuleForm, NewRuleForm, VersionForm
from retention.starting_points import STARTING_POINTS, starting_point
from retention.views.guarding import check_is_mine, mine
from retention.views.simulations import simulated

CHANGE = "retention.change_rules"
DEEDS = (
    *(Proposal.Deed.CREATE_RULE, Proposal.Deed.CHANGE_RULE),
    *(Proposal.Deed.RETIRE_RULE, Proposal.Deed.SET_LIMIT),
)


@require_safe
@needs_permission("retention.read")
def rules(request: SignedInRequest) -> HttpResponse:
    """Show the rules and limits, what awaits a second person, changes being carried through."""
    controllers = mine(request, "retention.read")
    rows = queries.rules_of(controllers=controllers, at=request.arrived_at)
    names = wording.names_of([row.version for row in rows])
    limits = PurposeLimit.objects.filter(controller__in=controllers)
    return render(
        request,
        "retention/rule_list.html",
        {
            "rows": [
                {
                    "rule": row.rule,
                    "version": row.version,
                    "is_in_force": row.is_in_force,
                    "applies_to": wording.applies_to(row.version, names=names),
                    "keeps": wording.keeps(row.version),
                    "waiting": [
                        {"version": one, "keeps": wording.keeps(one)} for one in row.waiting
                    ],
                    "can_change": not row.version.is_retired
                    and request.user.has_perm(CHANGE, row.rule.controller),
                }
                for row in rows
            ],
            "limits": queries.limits_of(controllers=controllers, at=request.arrived_at),
            "waiting_limits": limits.waiting(at=request.arrived_at).select_related(
                "controller", "purpose"
            ),
            "proposals": proposal_rows(request, controllers, DEEDS),
            "notices": queries.notices_of(controllers=controllers),
            "uncovered_count": queries.uncovered(controllers=controllers).count(),
            "recomputations": [
                {"row": one, "heartbeat_seconds": int((request.arrived_at - seen).total_seconds())}
                for one in queries.recomputations_of(controllers=controllers)
                for seen in [one.heartbeat_at or one.requested_at]
            ],
            "can_change": bool(mine(request, CHANGE)),
        },
    )


@require_http_methods(["GET", "POST"])
@needs_permission(CHANGE)
def rule_new(request: SignedInRequest) -> HttpResponse:
    """Propose a rule: fill in, see how many conversations it speaks of, confirm."""
    form = NewRuleForm(
        request.POST or None, controllers=mine(request, CHANGE), initial=_start(request)
    )
    context: dict[str, object] = {
        "form": form,
        "rule": None,
        "starting_points": STARTING_POINTS,
        "started_from": request.GET.get("start", ""),
    }
    if not form.is_valid():
        return _form(request, context)
    controller, purpose = form.cleaned_data["controller"], form.cleaned_data["purpose"]
    intent, is_tried = form.intent(controller), "simulate" in request.POST
    try:
        if "confirmed" not in request.POST:
            deeds.check_draft(
                controller=controller,
                purpose=purpose,
                draft=form.draft(),
                intent=None if is_tried else intent,
                now=request.arrived_at,
                name=form.cleaned_data["name"],
            )
            if is_tried:
                name = form.cleaned_data["name"]
                return simulated(request, RuleChange(controller, purpose, form.draft(), name=name))
            return _confirm(request, form, controller, purpose, old=None)
        proposal = deeds.propose_rule(
            controller=controller,
            purpose=purpose,
            name=form.cleaned_data["name"],
            draft=form.draft(),
            intent=intent,
            user=request.user,
            now=request.arrived_at,
        )
    except RuleRefused as refused:
        form.show(refused.problems)
        return _form(request, context)
    except ProposalOpen as refused:
        form.add_error(None, str(refused))
        return _form(request, context)
    return _proposed(request, proposal)


@require_http_methods(["GET", "POST"])
@needs_permission(CHANGE)
def rule_change(request: SignedInRequest, rule_id: UUID) -> HttpResponse:
    """Propose a version of a rule: change, see how many conversations are affected, confirm."""
    rule = _rule(request, rule_id)
    newest = queries.newest_version(rule)
    form = ChangedRuleForm(
        request.POST or None,
        controllers=[rule.controller],
        initial=ChangedRuleForm.initial_of(newest),
    )
    context: dict[str, object] = {
        "form": form,
        "rule": rule,
        "versions": _versions(rule),
        "can_retire": not newest.is_retired,
        "proposals": proposal_rows(request, [rule.controller], DEEDS, rule=rule),
    }
    if not form.is_valid():
        return _form(request, context)
    intent, is_tried = form.intent(rule.controller), "simulate" in request.POST
    try:
        if "confirmed" not in request.POST:
            deeds.check_draft(
                controller=rule.controller,
                purpose=rule.purpose,
                draft=form.draft(),
                rule=rule,
                intent=None if is_tried else intent,
                now=request.arrived_at,
            )
            if is_tried:
                return simulated(
                    request, RuleChange(rule.controller, rule.purpose, form.draft(), rule)
                )
            return _confirm(request, form, rule.controller, rule.purpose, old=newest)
        proposal = deeds.propose_change(
            rule=rule,
            draft=form.draft(),
            based_on=form.cleaned_data["based_on"],
            intent=intent,
            user=request.user,
            now=request.arrived_at,
        )
    except RuleRefused as refused:
        form.show(refused.problems)
        return _form(request, context)
    except (NothingChanged, ProposalOpen, RuleChangedMeanwhile, RuleNotInForce) as refused:
        form.add_error(None, str(refused))
        return _form(request, context)
    return _proposed(request, proposal)


@require_http_methods(["GET", "POST"])
@needs_permission(CHANGE)
def rule_retire(request: SignedInRequest, rule_id: UUID) -> HttpResponse:
    """Propose to retire a rule, once it was said how many conversations it speaks of."""
    rule = _rule(request, rule_id)
    newest = queries.newest_version(rule)
    if "simulate" in request.POST:
        return simulated(request, RuleChange(rule.controller, rule.purpose, None, rule))
    form = IntentForm(request.POST or None)
    if form.is_valid():
        try:
            proposal = deeds.propose_retirement(
                rule=rule,
                based_on=_number(request.POST.get("based_on")),
                intent=form.intent(rule.controller),
                user=request.user,
                now=request.arrived_at,
            )
        except RuleRefused as refused:
            form.show(refused.problems)
        except (ProposalOpen, RuleChangedMeanwhile, RuleNotInForce) as refused:
            form.add_error(None, str(refused))
        else:
            return _proposed(request, proposal)
    return render(
        request,
        "retention/rule_confirm.html",
        {
            "heading": _("Retire “%(name)s”") % {"name": rule.name},
            "sentences": [
                _affected(rule.controller, rule.purpose, draft=None, old=newest),
                _("It then matches nothing. What only this rule kept is closed to everybody."),
                _effect(is_shortening=True, urgency=""),
            ],
            "form": form,
            "hidden": [("based_on", str(newest.number))],
            "button": _("Propose to retire it"),
            "can_simulate": True,
            "cancel_url": reverse("retention:rule_change", args=[rule.pk]),
        },
        status=422 if form.errors else 200,
    )


@require_http_methods(["GET", "POST"])
@needs_permission(CHANGE)
def limit_set(request: SignedInRequest) -> HttpResponse:
    """Propose the shortest and the longest that a purpose allows at a company."""
    form = LimitForm(request.POST or None, controllers=mine(request, CHANGE))
    if form.is_valid():
        said = form.cleaned_data
        try:
            limits = {
                name: said[name]
                for name in ("controller", "purpose", "floor_months", "ceiling_months")
            }
            if "simulate" in request.POST:
                deeds.check_limit(
                    **limits, source=said["source"], intent=None, now=request.arrived_at
                )
                return simulated(request, LimitChange(**limits))
            proposal = deeds.propose_limit(
                **limits,
                source=said["source"],
                intent=form.intent(said["controller"]),
                user=request.user,
                now=request.arrived_at,
            )
        except RuleRefused as refused:
            form.show(refused.problems)
        except ProposalOpen as refused:
            form.add_error(None, str(refused))
        else:
            return _proposed(request, proposal)
    return render(
        request, "retention/limit_form.html", {"form": form}, status=422 if form.errors else 200
    )


def proposal_rows(
    request: SignedInRequest,
    controllers: Sequence[Controller],
    of: Sequence[Proposal.Deed],
    *,
    rule: RetentionRule | None = None,
) -> list[dict[str, object]]:
    """What awaits a second person, each with its title and whether this person may be that."""
    rows = queries.proposals_of(controllers=controllers, deeds=of)
    return [
        {
            "proposal": one,
            "title": wording.title_of(one),
            "can_decide": one.proposed_by_id != request.user.pk
            and request.user.has_perm(CHANGE, one.controller),
        }
        for one in (rows.filter(rule=rule) if rule else rows)
    ]


def _start(request: SignedInRequest) -> dict[str, object]:
    """What the form of a new rule begins with."""
    chosen = starting_point(request.GET.get("start", ""))
    if chosen is None:
        return {}
    purpose = Purpose.objects.filter(code=chosen.purpose).first()
    return {"name": str(chosen.label), "purpose": purpose, **chosen.fields}


def _proposed(request: SignedInRequest, proposal: Proposal) -> HttpResponse:
    messages.success(request, _("It is proposed, and awaits a second person."))
    return redirect("retention:proposal", proposal.pk)


def _rule(request: SignedInRequest, rule_id: UUID) -> RetentionRule:
    rule = get_object_or_404(
        RetentionRule.objects.select_related("controller", "purpose"), pk=rule_id
    )
    check_is_mine(request, CHANGE, rule.controller)
    return rule


def _versions(rule: RetentionRule) -> list[RuleVersion]:
    versions = list(rule.versions.select_related("created_by", "approved_by").order_by("-number"))
    names = wording.names_of(versions)
    for version in versions:
        version.keeps = wording.keeps(version)  # type: ignore[attr-defined]
        version.applies_to = wording.applies_to(  # type: ignore[attr-defined]
            version, names=names
        )
    return versions


def _form(request: SignedInRequest, context: dict[str, object]) -> HttpResponse:
    form = context["form"]
    assert isinstance(form, VersionForm)
    return render(request, "retention/rule_form.html", context, status=422 if form.errors else 200)


def _confirm(
    request: SignedInRequest,
    form: VersionForm,
    controller: Controller,
    purpose: Purpose,
    *,
    old: RuleVersion | None,
) -> HttpResponse:
    intent = form.intent(controller)
    effect = effect_of_version(
        rule=old.rule if old else None,
        fields=fields_of(form.draft()),
        wanted_from=intent.wanted_from,
        urgency=intent.urgency,
        now=request.arrived_at,
    )
    return render(
        request,
        "retention/rule_confirm.html",
        {
            "heading": _("Confirm the rule") if old is None else _("Confirm the new version"),
            "sentences": [
                _affected(controller, purpose, draft=form.draft(), old=old),
                _effect(is_shortening=effect.is_shortening, urgency=intent.urgency),
                _("A second person must approve it; until then nothing changes."),
            ],
            "hidden": [
                (name, value)
                for name, values in request.POST.lists()
                for value in values
                if name in form.fields
            ],
            "button": _("Propose"),
            "cancel_url": reverse("retention:rules"),
        },
    )


def _affected(
    controller: Controller, purpose: Purpose, *, draft: Draft | None, old: RuleVersion | None
) -> str:
    count = deeds.count_affected(controller=controller, purpose=purpose, draft=draft, old=old)
    return ngettext(
        "%(count)d kept conversation is affected.",
        "%(count)d kept conversations are affected.",
        count,
    ) % {"count": count}


def _effect(*, is_shortening: bool, urgency: str) -> str:
    if urgency:
        return _("Urgent: it takes effect on approval, without cooling time.")
    if is_shortening:
        return ngettext(
            "Something could end earlier by it: it takes effect %(count)d day after its approval.",
            "Something could end earlier by it: it takes effect %(count)d days after its approval.",
            settings.RULE_COOLING_DAYS,
        ) % {"count": settings.RULE_COOLING_DAYS}
    return _("Nothing ends earlier by it: it takes effect on approval, or on the date asked.")


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 9 else 0
