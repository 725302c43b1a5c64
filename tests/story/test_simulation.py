"""A compliance officer sees what a change would do, watches it being reckoned, and replays why."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.urls import reverse

from audit import clock
from retention.models import RetentionRule
from retention.operations.simulate import run_next
from tests.factories import Centre
from tests.story.window import Window

pytestmark = pytest.mark.browser


def test_a_change_is_simulated_by_keyboard_and_the_result_comes_by_itself(
    centre: Centre, window: Callable[..., Window]
):
    for days in range(20, 200, 15):
        centre.call(ended_at=clock.now() - timedelta(days=days))
    centre.matter_of(centre.chat(ended_at=clock.now() - timedelta(days=120)))
    rule = RetentionRule.objects.get(controller=centre.vakka)
    olga = window(centre.olga)
    olga.go(reverse("retention:rule_change", args=[rule.pk]))

    olga.page.fill("#id_keep_months", "3")
    olga.tab_to("Simulate")
    olga.page.keyboard.press("Enter")
    olga.page.wait_for_selector("#simulation progress")
    picture(olga, "simulation-progress")
    with centre.stage.acting_as("work"):
        assert run_next(clock=clock.now)
    olga.page.wait_for_selector("#simulation svg")
    picture(olga, "simulation")

    assert "affected, of" in olga.page.inner_text("#simulation")
    assert "A dispute" in olga.page.inner_text("#simulation")
    assert rule.versions.count() == 1
    assert olga.complaints == []
    assert olga.overflow() == 0


def test_why_it_is_kept_is_asked_of_a_past_moment(centre: Centre, window: Callable[..., Window]):
    call = centre.call()
    at = clock.now()
    centre.matter_of(call)
    olga = window(centre.olga)
    olga.go(reverse("retention:explain", args=[call.pk]) + f"?at={at:%Y-%m-%dT%H:%M:%S.%f}Z")

    then = olga.page.inner_text("main")
    picture(olga, "explain-then")
    olga.page.click("text=As it stands now")
    now = olga.page.inner_text("main")
    picture(olga, "explain-now")

    assert "This is the answer of" in then
    assert "Held" not in then
    assert "Held" in now
    assert olga.complaints == []


def picture(window: Window, name: str) -> None:
    """Keep a picture of the page, where somebody wants to look at them."""
    if folder := os.environ.get("PICTURES"):
        window.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
