"""The browsers of the people whom tests of retention's pages need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.conf import settings

if TYPE_CHECKING:
    from tests.harness.roles import Stage
    from tests.retention.office import Office


@pytest.fixture
def at_browser(signed_in):
    """Give the browser of a person who reads English."""

    def open_one(user):
        visitor = signed_in(user)
        visitor.client.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
        return visitor

    return open_one


@pytest.fixture
def olga(centre, at_browser):
    """The compliance officer's browser."""
    return at_browser(centre.olga)


@pytest.fixture
def alice(centre, at_browser):
    """A coach's browser."""
    return at_browser(centre.alice)


@pytest.fixture
def olli(centre, at_browser):
    """The browser of Onni's compliance officer, who has nothing to do with Vakka."""
    from accounts.roles import Role
    from tests import factories

    person = factories.person("Olli Onni")
    factories.give_role(person, Role.COMPLIANCE_OFFICER, centre.onni)
    return at_browser(person)


@pytest.fixture
def silent_broker(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Take down what the broker would be told."""
    from retention.operations import criteria, liftings, mirror

    told: list[dict[str, object]] = []

    class Broker:
        @staticmethod
        def send_task(
            name: str, *, kwargs: dict[str, object] | None = None, retry: bool = True
        ) -> None:
            told.append({"name": name, **(kwargs or {})})

    for module in (mirror, criteria, liftings):
        monkeypatch.setattr(module, "current_app", Broker)
    return told


@pytest.fixture
def office(stage: Stage, silent_broker: list[dict[str, object]]) -> Office:
    """The company, on the stage of this test."""
    from tests.retention.office import Office

    return Office(stage)
