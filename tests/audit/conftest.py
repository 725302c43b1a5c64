"""The people of the log's pages: an officer of one company, a coach of another, an auditor."""

from __future__ import annotations

import pytest


@pytest.fixture
def vakka(companies):
    return companies["Vakka"]


@pytest.fixture
def onni(companies):
    return companies["Onni"]


@pytest.fixture
def olga(vakka):
    from accounts.roles import Role
    from tests import factories

    officer = factories.person("Olga Officer", employer=vakka)
    factories.give_role(officer, Role.COMPLIANCE_OFFICER, vakka)
    return officer


@pytest.fixture
def aune():
    from accounts.roles import Role
    from tests import factories

    auditor = factories.person("Aune Auditor")
    factories.give_role(auditor, Role.AUDITOR, None)
    return auditor


@pytest.fixture
def charlie(onni):
    from accounts.roles import Role
    from tests import factories

    coach = factories.person("Charlie Chan", employer=onni)
    factories.give_role(coach, Role.COACH, onni)
    return coach
