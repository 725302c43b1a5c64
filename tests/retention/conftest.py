"""The browsers of the people whom tests of retention's pages need."""

from __future__ import annotations

import pytest
from django.conf import settings


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
