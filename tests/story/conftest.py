"""A site and a Chromium for each test that drives one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # Django is not there yet when this is read
    from playwright.sync_api import Browser

    from accounts.models import User
    from tests.factories import Centre
    from tests.harness.site import Site
    from tests.story.window import Window

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--no-first-run", "--no-default-browser-check", "--mute-audio"),
]


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Where Debian's Chromium is; without one the test is skipped, except in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        reason = "Chromium is missing: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    assert found is not None
    return found


@pytest.fixture
def chromium(chromium_path: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    """A Chromium of this test's own."""
    from django.db import connections
    from playwright.sync_api import sync_playwright

    # Playwright's loop runs in this thread; what Django then takes for a coroutine is the test.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=ARGUMENTS)
        yield browser
        browser.close()
        # Made beside the loop, they are not seen by whoever closes connections after it.
        connections.close_all()


@pytest.fixture(scope="session")
def _static_files() -> list[str]:
    """Where it is noted that they were collected."""
    return []


@pytest.fixture
def site(centre: Centre, _static_files: list[str]) -> Iterator[Site]:
    """The product, serving this test's contact centre."""
    from tests.harness.site import collect_static_files, serving

    if not _static_files:
        collect_static_files(centre.stage)
        _static_files.append("collected")
    with serving(centre.stage) as running:
        yield running


@pytest.fixture
def window(chromium: Browser, site: Site) -> Iterator[Callable[..., Window]]:
    """Open a window of somebody's own; at the end no window may have complained."""
    from tests.story.window import Window

    opened: list[Window] = []

    def open_window(user: User | None = None, *, language: str = "en") -> Window:
        made = Window.open(chromium, site, user=user, language=language)
        opened.append(made)
        return made

    yield open_window
    for each in opened:
        each.close()
    assert [complaint for each in opened for complaint in each.complaints] == []
