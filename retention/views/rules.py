"""Pages of retention rules and of what bounds them."""

from __future__ import annotations

from uuid import UUID

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
from retention.forms import LimitForm, NoticeForm
from retention.models import RetentionRule, RuleVersion
from retention.operations import rules as deeds
from retention.operations.notices import record_notice
from retention.operations.rules import Draft, NothingChanged, RuleChangedMeanwhile, RuleNotInForce
from retention.operations.simulate import simulate
from retention.rule_forms import ChangedRuleForm, NewRuleForm, TermsForm
from retention.views.guarding import check_is_mine, mine

CHANGE = "retention.change_rules"


@require_safe
@needs_permission("retention.read")
def rules(request: SignedInRequest) -> HttpResponse:
    """Show the rules and limits, what no rule covers, and changes being carried through."""
    controllers = mine(request, "retention.read")
    rows = queries.rules_of(controllers=controllers, at=request.arrived_at)
    names = wording.names_of([row.version for row in rows])
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
                    "can_change": not row.version.is_retired
                    and request.user.has_perm(CHANGE, row.rule.controller),
                }
                for row in rows
            ],
            "limits": queries.limits_of(controllers=controllers),
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
    """Make a rule: fill in, see how many conversations it speaks of, confirm."""
    form = NewRuleForm(request.POST or None, controllers=mine(request, CHANGE))
    context: dict[str, object] = {"form": form, "rule": None}
    if not form.is_valid():
        return _form(request, context)
    controller, purpose = form.cleaned_data["controller"], form.cleaned_data["purpose"]
    try:
        if "confirmed" not in request.POST:
            deeds.check_draft(
                controller=controller,
                purpose=purpose,
                draft=form.draft(),
                name=form.cleaned_data["name"],
            )
            if "simulate" in request.POST:
                name = form.cleaned_data["name"]
                return _simulated(request, RuleChange(controller, purpose, form.draft(), name=name))
            return _confirm(request, form, controller, purpose, old=None)
        version = deeds.create_rule(
            controller=controller,
            purpose=purpose,
            name=form.cleaned_data["name"],
            draft=form.draft(),
            user=request.user,
            now=request.arrived_at,
        )
    except deeds.RuleRefused as refused:
        form.show(refused.problems)
        return _form(request, context)
    messages.success(
        request, _("The rule “%(name)s” is in force from now on.") % {"name": version.rule.name}
    )
    return redirect("retention:rules")


@require_http_methods(["GET", "POST"])
@needs_permission(CHANGE)
def rule_change(request: SignedInRequest, rule_id: UUID) -> HttpResponse:
    """Add a version to a rule: change, see how many conversations are affected, confirm."""
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
    }
    if not form.is_valid():
        return _form(request, context)
    try:
        if "confirmed" not in request.POST:
            deeds.check_draft(controller=rule.controller, purpose=rule.purpose, draft=form.draft())
            if "simulate" in request.POST:
                return _simulated(
                    request, RuleChange(rule.controller, rule.purpose, form.draft(), rule)
                )
            return _confirm(request, form, rule.controller, rule.purpose, old=newest)
        version = deeds.change_rule(
            rule=rule,
            draft=form.draft(),
            based_on=form.cleaned_data["based_on"],
            user=request.user,
            now=request.arrived_at,
        )
    except deeds.RuleRefused as refused:
        form.show(refused.problems)
        return _form(request, context)
    except (NothingChanged, RuleChangedMeanwhile, RuleNotInForce) as refused:
        form.add_error(None, str(refused))
        return _form(request, context)
    messages.success(
        request,
        _("Version %(number)d of “%(name)s” is in force from now on.")
        % {"number": version.number, "name": rule.name},
    )
    return redirect("retention:rules")


@require_http_methods(["GET", "POST"])
@needs_permission(CHANGE)
def rule_retire(request: SignedInRequest, rule_id: UUID) -> HttpResponse:
    """Retire a rule, once it has been said how many conversations it speaks of."""
    rule = _rule(request, rule_id)
    newest = queries.newest_version(rule)
    if "simulate" in request.POST:
        return _simulated(request, RuleChange(rule.controller, rule.purpose, None, rule))
    if request.method == "POST":
        try:
            deeds.retire_rule(
                rule=rule,
                based_on=_number(request.POST.get("based_on")),
                user=request.user,
                now=request.arrived_at,
            )
        except (RuleChangedMeanwhile, RuleNotInForce) as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, _("The rule “%(name)s” is retired.") % {"name": rule.name})
        return redirect("retention:rules")
    return render(
        request,
        "retention/rule_confirm.html",
        {
            "heading": _("Retire “%(name)s”") % {"name": rule.name},
            "sentences": [
                _affected(rule.controller, rule.purpose, draft=None, old=newest),
                _("It then matches nothing. What only this rule kept is closed to everybody."),
            ],
            "hidden": [("based_on", str(newest.number))],
            "button": _("Retire the rule"),
            "cancel_url": reverse("retention:rule_change", args=[rule.pk]),
            "can_simulate": True,
        },
    )


@require_http_methods(["GET", "POST"])
@needs_permission(CHANGE)
def limit_set(request: SignedInRequest) -> HttpResponse:
    """Set the shortest and the longest that a purpose allows at a company."""
    form = LimitForm(request.POST or None, controllers=mine(request, CHANGE))
    if form.is_valid():
        try:
            if "simulate" in request.POST:
                said = dict(form.cleaned_data)
                deeds.check_limit(**said, now=request.arrived_at)
                said.pop("source")
                return _simulated(request, LimitChange(**said))
            deeds.set_limit(**form.cleaned_data, user=request.user, now=request.arrived_at)
        except deeds.RuleRefused as refused:
            form.show(refused.problems)
        else:
            messages.success(request, _("The limits are set."))
            return redirect("retention:rules")
    return render(
        request, "retention/limit_form.html", {"form": form}, status=422 if form.errors else 200
    )


@require_http_methods(["GET", "POST"])
@needs_permission(CHANGE)
def notice_new(request: SignedInRequest) -> HttpResponse:
    """Record a version of a company's privacy notice and the times it states."""
    form = NoticeForm(request.POST or None, controllers=mine(request, CHANGE))
    if form.is_valid():
        try:
            record_notice(
                controller=form.cleaned_data["controller"],
                version=form.cleaned_data["version"],
                in_force_from=form.in_force_at(),
                months=form.months(),
                user=request.user,
                now=request.arrived_at,
            )
        except deeds.RuleRefused as refused:
            form.show(refused.problems)
        else:
            messages.success(request, _("The privacy notice is recorded."))
            return redirect("retention:rules")
    return render(
        request, "retention/notice_form.html", {"form": form}, status=422 if form.errors else 200
    )


def _simulated(request: SignedInRequest, change: RuleChange | LimitChange) -> HttpResponse:
    row = simulate(changes=[change], user=request.user, now=request.arrived_at)
    return redirect("retention:simulation", row.pk)


def _rule(request: SignedInRequest, rule_id: UUID) -> RetentionRule:
    rule = get_object_or_404(
        RetentionRule.objects.select_related("controller", "purpose"), pk=rule_id
    )
    check_is_mine(request, CHANGE, rule.controller)
    return rule


def _versions(rule: RetentionRule) -> list[RuleVersion]:
    versions = list(rule.versions.select_related("created_by").order_by("-number"))
    names = wording.names_of(versions)
    for version in versions:
        version.keeps = wording.keeps(version)  # type: ignore[attr-defined]
        version.applies_to = wording.applies_to(  # type: ignore[attr-defined]
            version, names=names
        )
    return versions


def _form(request: SignedInRequest, context: dict[str, object]) -> HttpResponse:
    form = context["form"]
    assert isinstance(form, TermsForm)
    return render(request, "retention/rule_form.html", context, status=422 if form.errors else 200)


def _confirm(
    request: SignedInRequest,
    form: TermsForm,
    controller: Controller,
    purpose: Purpose,
    *,
    old: RuleVersion | None,
) -> HttpResponse:
    return render(
        request,
        "retention/rule_confirm.html",
        {
            "heading": _("Confirm the rule") if old is None else _("Confirm the new version"),
            "sentences": [
                _affected(controller, purpose, draft=form.draft(), old=old),
                _("It takes effect at once; what is due is destroyed by the next purge run."),
            ],
            "hidden": [
                (name, value)
                for name, values in request.POST.lists()
                for value in values
                if name in form.fields
            ],
            "button": _("Put into force"),
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


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 9 else 0
