"""A hold by what it is like, and its end: two officers at their browsers, by keyboard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse

from audit import clock
from recordings.models import Conversation
from retention.models import Matter
from retention.operations.criteria import apply_next
from tests.factories import Centre
from tests.retention.lifted import second_officer
from tests.story.window import Window

pytestmark = pytest.mark.browser


def test_one_holds_what_matches_and_two_lift_it(centre: Centre, window: Callable[..., Window]):
    call, chat = centre.call(), centre.chat()
    matter = centre.matter_of()
    page = reverse("retention:matter", args=[matter.pk])
    olga, oona = window(centre.olga), window(second_officer(centre), language="sv")

    # She says what is to be held, sees how many that is, and confirms.
    olga.go(page)
    olga.tab_to("Hold what matches…")
    olga.page.keyboard.press("Enter")
    olga.page.wait_for_url("**/criteria/new/")
    olga.tab_to("Call")
    olga.page.keyboard.press("Space")
    olga.tab_to("Continue")
    olga.page.keyboard.press("Enter")
    olga.page.get_by_text("1 conversation matches now.").wait_for()
    olga.tab_to("Hold them")
    olga.page.keyboard.press("Enter")
    olga.page.get_by_text("0 of 1 (0 %)").wait_for()

    # The worker places the holds, and the page learns of it by itself.
    with centre.stage.acting_as("work"):
        while apply_next(now=clock.now(), keyring=centre.keyring()):
            pass
    olga.page.get_by_text("Done. Load the page again").wait_for()
    olga.page.reload()
    assert olga.page.get_by_role("link", name=str(call.pk), exact=True).is_visible()
    assert not olga.page.get_by_role("link", name=str(chat.pk), exact=True).count()

    # She proposes to close the matter; it stays, and only another can agree.
    olga.tab_to("Close the matter…")
    olga.page.keyboard.press("Enter")
    olga.page.wait_for_url("**/close/")
    olga.tab_to("Reason")
    olga.page.keyboard.type("The dispute is settled.")
    olga.tab_to("Propose")
    olga.page.keyboard.press("Enter")
    olga.page.get_by_role("button", name="Take it back").wait_for()
    assert not olga.page.get_by_role("link", name="Agree…").count()
    call.refresh_from_db()
    assert call.hold_count == 1

    # The other one finds it where she looks first, in her language, and agrees.
    oona.go(reverse("retention:matters"))
    oona.page.get_by_text("1 förslag väntar på en andra person").wait_for()
    oona.tab_to(matter.name)
    oona.page.keyboard.press("Enter")
    oona.page.wait_for_url(f"**{page}")
    oona.tab_to("Godkänn…")
    oona.page.keyboard.press("Enter")
    oona.page.wait_for_url("**/agree/")
    oona.tab_to("Godkänn")
    oona.page.keyboard.press("Enter")
    oona.page.get_by_text("Godkänt: 1 gallringsstopp är hävt.").wait_for()

    assert Conversation.objects.get(pk=call.pk).hold_count == 0
    assert Matter.objects.get(pk=matter.pk).closed_at is not None
    assert olga.complaints == oona.complaints == []
