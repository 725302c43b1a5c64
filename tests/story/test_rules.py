"""In the browser: a shorter rule is proposed, approved by a second person, and takes effect."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.urls import reverse

from audit import clock
from recordings.models import Conversation
from retention.models import Proposal, RetentionRule
from retention.operations.coming_into_force import come_into_force
from retention.operations.recompute import recompute_next
from tests.factories import Centre
from tests.retention.enacting import second_officer
from tests.story.window import Window

pytestmark = pytest.mark.browser


def test_a_shorter_rule_is_proposed_approved_and_takes_effect(
    centre: Centre, window: Callable[..., Window]
):
    call = centre.call()
    before = call.destroy_after
    rule = RetentionRule.objects.get(controller=centre.vakka)

    # Olga proposes three months, urgently, since the authority orders it.
    olga = window(centre.olga)
    olga.go(reverse("retention:rules"))
    olga.page.click(f"a[href='{reverse('retention:rule_change', args=[rule.pk])}']")
    olga.page.fill("#id_keep_months", "3")
    olga.page.select_option("#id_urgency", "authority_order")
    olga.page.fill("#id_reason", "The data protection authority orders it.")
    olga.page.click("main form button.primary")
    assert "1 kept conversation is affected." in olga.page.inner_text("main")
    olga.page.click("main form button.primary")
    olga.page.wait_for_url("**/proposals/**")
    assert "You proposed it" in olga.page.inner_text("main")
    assert olga.page.locator("text=Approve…").count() == 0
    proposal = Proposal.objects.open().get()

    # Sanna finds it on the page of the rules, compares, and approves by the keyboard.
    sanna = window(second_officer(centre.vakka))
    sanna.go(reverse("retention:rules"))
    assert "You can decide" in sanna.page.inner_text("main")
    sanna.page.click(f"a[href='{reverse('retention:proposal', args=[proposal.pk])}']")
    compared = sanna.page.inner_text("main table")
    assert re.search(r"6 months\s+3 months", compared)
    sanna.tab_to("Approve…")
    sanna.page.keyboard.press("Enter")
    sanna.page.wait_for_url("**/approve/")
    sanna.page.fill("#id_reason", "I have read the order.")
    sanna.tab_to("Approve")
    sanna.page.keyboard.press("Enter")
    sanna.page.wait_for_url(f"**/proposals/{proposal.pk}/")
    assert "It is approved." in sanna.page.inner_text("main")

    # It takes effect on what is kept, and the page of the rules says who was in a hurry.
    with centre.stage.acting_as("work"):
        come_into_force(now=clock.now())
        while recompute_next(now=clock.now(), keyring=centre.keyring()):
            pass
    after = Conversation.objects.get(pk=call.pk).destroy_after
    assert before is not None and after is not None and after < before
    sanna.go(reverse("retention:rules"))
    assert "3 months" in sanna.page.inner_text("main table")
    assert "Urgent" in sanna.page.inner_text("main table")
