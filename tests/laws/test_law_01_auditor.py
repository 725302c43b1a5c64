"""Law 1, of the auditor: she reads the logs of her companies, and nothing else anywhere."""

from __future__ import annotations

import pytest

from accounts.roles import Role
from tests import factories
from tests.factories import Centre
from tests.laws import access_matrix

# Her own account, what everybody needs before she is let in, and what says nothing of anybody.
EVERYBODYS = ("", "account/", "language/", "me/", "healthz", "livez", "conversations/listened/")
LOG = "audit/"
TURNED_AWAY = {302, 403, 404, 405}
REFUSALS = {"404", "405", "sign-in"}


@pytest.fixture
def auditor(centre: Centre):
    """One who is an auditor of Vakka alone."""
    person = factories.person("Aino Auditor", employer=centre.vakka)
    factories.give_role(person, Role.AUDITOR, centre.vakka)
    factories.undertake(person)
    return person


@pytest.fixture
def scene(centre: Centre):
    return access_matrix.build(centre)


def is_everybodys(pattern: str) -> bool:
    return pattern == "" or pattern.startswith(tuple(filter(None, EVERYBODYS)))


class TestAuditor:
    def test_gets_the_logs_pages_and_no_other_at_any_address(self):
        """By the table, which test_law_01_access compares with every address there is."""
        opened = {
            (method, pattern)
            for (method, pattern, _state), cells in access_matrix.read_table().items()
            if not is_everybodys(pattern) and cells.get("auditor", "404") not in REFUSALS
        }

        assert ("GET", "audit/") in opened
        assert {pattern for _method, pattern in opened if not pattern.startswith(LOG)} == set()

    def test_is_told_of_no_other_companys_log(self, centre, scene, auditor, signed_in):
        browser = signed_in(auditor)
        scene.others["log"] = centre.onni.pk

        found = {
            path: answer.status
            for route in access_matrix.routes()
            if route.pattern.startswith(LOG)
            for _state, path in access_matrix.addresses(scene, route, "GET")
            if (answer := browser.get(path, {"log": str(centre.onni.pk)})).status not in TURNED_AWAY
        }

        assert found == {}

    def test_has_only_her_own_pages_in_the_menu(self, auditor, signed_in):
        page = signed_in(auditor).get("/me/access/").text

        assert "/audit/" in page
        assert "/retention/" not in page
        assert "/conversations/quarantine/" not in page
