"""Every page for everybody: no violation that axe finds, light and dark, and 320 pixels suffice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from accounts.models import Source
from accounts.roles import Role
from audit import clock
from audit.events import Actor
from audit.models import Delivery
from audit.operations.growth import change_term, place_log_hold
from audit.operations.searches import save_search
from recordings.models import Conversation, QuarantinedItem
from recordings.objectstore import ObjectStore
from retention.changes import LimitChange
from retention.drafts import Draft
from retention.models import (
    Certificate,
    Criterion,
    Hold,
    Lifting,
    Matter,
    Proposal,
    PurgeRun,
    RetentionRule,
    Simulation,
)
from retention.operations import criteria
from retention.operations.criteria import set_criterion
from retention.operations.liftings import propose_dropping
from retention.operations.notices import record_notice
from retention.operations.proposing import Intent
from retention.operations.purge.run import purge
from retention.operations.rules import propose_change
from retention.operations.simulate import simulate
from tests import factories
from tests.factories import Centre
from tests.laws.access_matrix import routes
from tests.recordings.test_quarantine import put_aside
from tests.retention.certified import certify
from tests.retention.enacting import create_rule
from tests.retention.lifted import second_officer
from tests.retention.simulated import simulated
from tests.story.window import Window

pytestmark = pytest.mark.browser

# What of a page's faults can depend on its colours: the rest is looked for in the light one alone.
OF_COLOURS = ("color-contrast", "link-in-text-block")
# Addresses that are no pages for people to look at, or that no page of ours links to.
NO_PAGES = {
    *("healthz", "livez", "language/setlang/", "", "audit/export/", "me/preferences/"),
    "conversations/sound/<uuid:dialog_id>",
    "conversations/waveform/<uuid:dialog_id>",
    *("retention/matters/<uuid:matter_id>/handlers/", "retention/matters/<uuid:matter_id>/holds/"),
    *("retention/matters/<uuid:matter_id>/review/", "retention/matters/<uuid:matter_id>/progress/"),
    "retention/liftings/<uuid:lifting_id>/take-back/",
    *("audit/growth/term/", "audit/growth/hold/", "audit/growth/lift/"),
    *("audit/growth/propose/", "audit/growth/agree/"),
    *("audit/searches/", "audit/searches/<uuid:search_id>/delete/"),
    "retention/purge-runs/<uuid:run_id>/progress/",  # a part of a page
    "retention/simulations/<uuid:simulation_id>/progress/",
    "retention/proposals/<uuid:proposal_id>/simulate/",
    "retention/certificates/<uuid:certificate_id>/file/",
    *("audit/verify/", "audit/<slug:log>/verification/", "audit/<slug:log>/keys/"),
    *("retention/purge-runs/pause/", "retention/purge-runs/resume/"),
    "retention/purge-runs/<uuid:run_id>/stop/",
    *("audit/<slug:log>/consistency/", "audit/<slug:log>/events/<uuid:event_id>/proof/"),
}


def of_nobody(_: Centre) -> Iterator[str]:
    """What is seen before signing in."""
    for name in (
        *("account_login", "account_signup", "account_reset_password", "account_inactive"),
        *("account_reset_password_done", "account_reset_password_from_key_done"),
        "account_email_verification_sent",
    ):
        yield reverse(name)
    yield reverse("account_reset_password_from_key", args=["1", "none"])
    yield reverse("account_confirm_email", args=["none"])


def of_a_coach(centre: Centre) -> Iterator[str]:
    """The list with and without rows, a call, a chat, what is not hers, and what is about her."""
    conversations = reverse("recordings:conversations")
    yield conversations
    yield f"{conversations}?language=sv"
    for conversation in Conversation.objects.kept().filter(hold_count=0):
        yield reverse("recordings:conversation", args=[conversation.pk])
    yield reverse("recordings:conversation", args=[centre.vakka.pk])
    yield reverse("accounts:undertaking")
    yield reverse("accounts:my_access")
    yield reverse("recordings:listened")
    for name in (
        *("account_logout", "account_email", "account_change_password", "account_reauthenticate"),
        "usersessions_list",
    ):
        yield reverse(name)


def of_a_compliance_officer(centre: Centre) -> Iterator[str]:
    """Rules, matters and holds, purge runs, why something is kept, quarantine."""
    for name in (
        *("rules", "rule_new", "limit_set", "notice_new"),
        *("matters", "matter_new", "purge_runs"),
    ):
        yield reverse(f"retention:{name}")
    rule, matter = RetentionRule.objects.first(), Matter.objects.get()
    run = PurgeRun.objects.get()
    for name, pk in (
        *(("rule_change", rule), ("rule_retire", rule), ("matter", matter)),
        *(("matter_close", matter), ("hold_lift", Hold.objects.first()), ("purge_run", run)),
        *(("criterion_new", matter), ("criterion_drop", Criterion.objects.get())),
        ("lifting_agree", Lifting.objects.get()),
    ):
        assert pk is not None
        yield reverse(f"retention:{name}", args=[pk.pk])
    yield f"{reverse('retention:rule_new')}?start=coaching"
    for proposal in Proposal.objects.order_by("proposed_at"):
        for name in ("proposal", "proposal_approve", "proposal_refuse", "proposal_take_back"):
            yield reverse(f"retention:{name}", args=[proposal.pk])
    yield reverse("retention:source_release", args=[centre.pbx.pk])
    yield reverse("retention:rules_release", args=[centre.vakka.pk])
    yield reverse("retention:run_release", args=[run.pk])
    for simulation in Simulation.objects.all():
        yield reverse("retention:simulation", args=[simulation.pk])
    yield reverse("retention:certificate", args=[Certificate.objects.get().pk])
    for conversation in Conversation.objects.all():
        yield reverse("retention:explain", args=[conversation.pk])
    yield reverse("retention:hold_place_on", args=[Conversation.objects.kept()[0].pk])
    yield reverse("retention:attention")
    yield reverse("retention:uncovered")
    yield reverse("recordings:quarantine")
    undecided = Conversation.objects.get(uncovered_at__isnull=False)
    yield reverse("retention:undecided_conversation", args=[undecided.pk])
    yield reverse("retention:undecided_item", args=[QuarantinedItem.objects.get().pk])


def of_a_reader_of_the_log(centre: Centre) -> Iterator[str]:
    """The audit log, and what is told from it."""
    yield reverse("audit:log")
    yield f"{reverse('audit:log')}?log=installation"
    yield f"{reverse('audit:log')}?outcome=deny"
    yield reverse("audit:counts")
    yield reverse("audit:refusals")
    conversation = Conversation.objects.order_by("pk").values_list("pk", flat=True)[0]
    yield reverse("audit:story", args=[centre.vakka.pk, conversation])
    olga = centre.person("olga").reference
    yield reverse("audit:person", args=[centre.vakka.pk, olga])
    yield reverse("audit:person", args=[centre.vakka.pk, "system:nobody"])
    yield reverse("audit:growth")
    yield reverse("audit:report")


def furnish(centre: Centre) -> None:
    """Have something of each kind to look at."""
    factories.give_role(centre.alice, Role.EMPLOYEE, centre.vakka)
    _make_rules_of_all_kinds(centre)
    centre.call()
    centre.chat()
    matter = centre.matter_of(centre.chat())
    draft = criteria.Draft(kinds=("call",), teams=(centre.sales.pk,), customer_hash=bytes(32))
    criterion = set_criterion(matter=matter, draft=draft, set_by=centre.olga, now=clock.now())
    propose_dropping(
        criterion=criterion,
        reason="Settled.",
        proposed_by=second_officer(centre),
        now=clock.now(),
    )
    Matter.objects.update(review_at=clock.now())
    gone, uncovered = centre.chat(), centre.chat()
    centre.end(gone, at=clock.now() - timedelta(minutes=1))
    uncovered.permitted_uses.all().delete()
    Conversation.objects.filter(pk=uncovered.pk).update(uncovered_at=clock.now())
    put_aside(centre)
    olga = Actor.user(centre.person("olga").reference)
    log, now = centre.vakka.pk, clock.now()
    Source.objects.create(slug="chats", name="Chats", controller=centre.vakka)
    propose_change(
        rule=RetentionRule.objects.get(controller=centre.vakka, purpose=centre.coaching),
        draft=Draft(keep_months=3, keep_days=0, legal_basis="6.1.f"),
        based_on=1,
        intent=Intent("Six months are too long for coaching."),
        user=centre.person("olga"),
        now=now,
    )
    place_log_hold(log=log, reason="Inquiry", actor=olga, now=now)
    change_term(log=log, months=60, legal_reason="MiFID II", actor=olga, now=now)
    owner = centre.person("olga").reference
    save_search(owner=owner, log=log, name="Refused " + "x" * 52, query="outcome=deny", now=now)
    Delivery.objects.create(log=str(log), month=now.date(), failed_at=now, failure="unknown_host")
    with centre.stage.acting_as("purge"):
        purge(content=ObjectStore.for_purge(), anchor=ObjectStore.for_anchor(), clock=clock.now)
    certify(centre.stage)
    simulated(centre.vakka, centre.coaching, centre.olga)
    change = LimitChange(centre.vakka, centre.coaching, None, 3)
    simulate(changes=[change], user=centre.olga, now=clock.now())


def _make_rules_of_all_kinds(centre: Centre) -> None:
    """One that is counted from an event and asks for details, an exclusion, and a notice."""
    by_event = Draft(
        keep_months=6,
        keep_days=0,
        legal_basis="6.1.b",
        directions=("inbound",),
        shortest_seconds=1,
        trigger="claim.closed",
        cap_months=60,
        statute="Insurance Contracts Act 543/1994, section 73",
    )
    exclusion = Draft(
        keep_months=0, keep_days=0, legal_basis="", is_exclusion=True, kinds=("call",)
    )
    told: dict[str, Any] = {
        "controller": centre.vakka,
        "user": centre.person("olga"),
        "now": clock.now(),
    }
    claims, evidence = factories.purpose("claims"), factories.purpose("evidence")
    for purpose, draft in ((claims, by_event), (evidence, by_event), (evidence, exclusion)):
        create_rule(
            purpose=purpose,
            name=f"{purpose.code} {draft.is_exclusion}",
            draft=draft,
            **told,
        )
    record_notice(version="2026-05", in_force_from=clock.now(), months={centre.coaching: 6}, **told)


READERS = (
    *(("nobody", of_nobody), ("alice", of_a_coach)),
    *(("olga", of_a_compliance_officer), ("olga", of_a_reader_of_the_log)),
)


@pytest.mark.parametrize(("name", "pages"), READERS)
def test_has_no_violation_in_light_or_dark_and_fits_a_narrow_window(
    centre: Centre,
    window: Callable[..., Window],
    name: str,
    pages: Callable[[Centre], Iterator[str]],
):
    furnish(centre)
    opened = window(None if name == "nobody" else centre.person(name))
    wrong: list[str] = []
    for path in pages(centre):
        status = opened.go(path)
        if status >= 500:
            wrong.append(f"{path}: {status}")
            continue
        for scheme, rules in (("light", ()), ("dark", OF_COLOURS)):
            opened.page.emulate_media(color_scheme=scheme)
            wrong += [f"{path} {scheme}: {one}" for one in opened.violations(*rules)]
        if overflow := opened.overflow():
            wrong.append(f"{path}: {overflow} pixels too wide")

    assert wrong == []


def test_every_page_is_looked_at(centre: Centre):
    furnish(centre)
    from django.urls import resolve

    closed = {route.pattern for route in routes() if not route.name}
    seen = {
        resolve(path.partition("?")[0]).view_name
        for _name, paths in READERS
        for path in paths(centre)
    }

    assert {
        route.pattern
        for route in routes()
        if not route.pattern.startswith("admin/")
        and route.pattern not in NO_PAGES
        and route.pattern not in closed
        and route.name not in seen
    } <= {"account/login/code/confirm/", "account/password/set/"}
