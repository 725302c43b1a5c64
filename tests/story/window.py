"""One person's browser window: what it shows, and everything it complains about."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from axe_playwright_python.sync_playwright import Axe
from django.conf import settings

from accounts.models import User
from tests.harness.site import Site
from tests.harness.visitors import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response

WIDTH, HEIGHT = 1280, 900
NARROWEST = 320
PATIENCE_MILLISECONDS = 15_000
POLL_MILLISECONDS = 50
# What the browser says by itself of an answer that is an error: the answer itself is looked at.
OF_AN_ANSWER = "Failed to load resource"


@dataclass(slots=True)
class Window:
    """A window with storage of its own."""

    site: Site
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)

    @classmethod
    def open(cls, browser: Browser, site: Site, *, user: User | None, language: str) -> Window:
        """Open one, for somebody who has signed in unless nobody is named."""
        context = browser.new_context(
            base_url=site.url, viewport={"width": WIDTH, "height": HEIGHT}, locale="en-GB"
        )
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        cookies = [(settings.LANGUAGE_COOKIE_NAME, language)]
        if user is not None:
            signed_in = Visitor(site.stage, user).client.cookies
            cookies.append(
                (settings.SESSION_COOKIE_NAME, signed_in[settings.SESSION_COOKIE_NAME].value)
            )
        context.add_cookies(
            [{"name": name, "value": value, "url": site.url} for name, value in cookies]
        )
        window = cls(site, context, context.new_page())
        window.page.on("console", lambda message: window._note(message))
        window.page.on(
            "pageerror", lambda error: window.complaints.append(f"{window.page.url}: {error}")
        )
        window.page.on("response", lambda answer: window.responses.append(answer))
        return window

    def close(self) -> None:
        """Close it."""
        self.context.close()

    def go(self, path: str) -> int:
        """Open an address; gives the status of the answer."""
        answer = self.page.goto(path)
        assert answer is not None
        return answer.status

    def wait_for(self, expression: str) -> None:
        """Wait until the expression is true. Our own loop: the page allows no `eval`."""
        deadline = time.monotonic() + PATIENCE_MILLISECONDS / 1000
        while not self.page.evaluate(expression):
            if time.monotonic() > deadline:
                raise AssertionError(f"{expression} does not become true.")
            self.page.wait_for_timeout(POLL_MILLISECONDS)

    def tab_to(self, name: str, *, most: int = 60) -> None:
        """Press Tab until what has that name has the focus."""
        for _ in range(most):
            self.page.keyboard.press("Tab")
            if name in self.focused():
                return
        raise AssertionError(f"{name} is not reached by Tab.")

    def focused(self) -> str:
        """The name of what has the focus: its label, or what it says."""
        found: Any = self.page.evaluate(
            """() => {
                const one = document.activeElement;
                return one.getAttribute("aria-label") || (one.labels && one.labels.length
                    ? one.labels[0].innerText : one.innerText) || "";
            }"""
        )
        return str(found).strip()

    def violations(self, *rules: str) -> list[str]:
        """What axe finds wrong with the page as it stands, by all its rules or by those named."""
        before = list(self.complaints)
        options: dict[str, Any] = {"resultTypes": ["violations"]}
        if rules:
            options["runOnly"] = list(rules)
        found = Axe().run(self.page, options=options).response["violations"]
        # Axe copies the styles of the waveform into the page, which the page rightly refuses it.
        self.complaints[:] = before
        return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the narrowest window it must fit in."""
        self.page.set_viewport_size({"width": NARROWEST, "height": HEIGHT})
        width: Any = self.page.evaluate("document.scrollingElement.scrollWidth")
        self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        return max(int(width) - NARROWEST, 0)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and OF_AN_ANSWER not in message.text:
            self.complaints.append(f"{self.page.url}: {message.text}")
