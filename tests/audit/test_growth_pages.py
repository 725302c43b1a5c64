"""Compliance decides how long a log is kept and what is cut; a report is given once logged."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.urls import reverse

from accounts.roles import Role
from audit import cuts
from audit.events import EventType
from audit.models import Cut, Event, LogHold
from tests import factories
from tests.audit.given import happened, played, run
from tests.audit.given import signed_in as has_signed_in
from tests.audit.test_growth import OTTO, keys, past, sealed, until

__all__ = ["keys", "sealed"]
pytestmark = pytest.mark.django_db


def holding(role: Role, company, name: str):
    made = factories.person(name, employer=company)
    factories.give_role(made, role, company)
    return made


@pytest.fixture
def olga(vakka):
    return holding(Role.COMPLIANCE_OFFICER, vakka, "Olga Officer")


@pytest.fixture
def oskar(vakka):
    return holding(Role.COMPLIANCE_OFFICER, vakka, "Oskar Officer")


@pytest.fixture
def dora(vakka):
    return holding(Role.DATA_PROTECTION_OFFICER, vakka, "Dora Officer")


@pytest.fixture
def charlie(onni):
    return holding(Role.COMPLIANCE_OFFICER, onni, "Charlie Chan")


def post(visitor, name, **data):
    return visitor.post(
        reverse(f"audit:{name}"), data, follow=True, headers={"Accept-Language": "en"}
    )


class TestGrowthPage:
    def test_is_for_compliance_officers_of_that_company(
        self, signed_in, vakka, olga, dora, charlie
    ):
        path = f"{reverse('audit:growth')}?log={vakka.pk}"

        assert signed_in(olga).get(path).status == 200
        assert signed_in(dora).get(path).status == 404
        assert signed_in(charlie).get(path).status == 404

    @pytest.mark.parametrize(
        "name", ["change_term", "place_log_hold", "lift_log_hold", "propose_cut", "agree_to_cut"]
    )
    def test_outsiders_decide_nothing(self, signed_in, vakka, charlie, name):
        assert post(signed_in(charlie), name, log=vakka.pk).status == 404

    def test_changes_the_term_and_refuses_a_long_one_without_a_reason(self, signed_in, vakka, olga):
        browser = signed_in(olga)

        refused = post(browser, "change_term", log=vakka.pk, months=60)
        post(browser, "change_term", log=vakka.pk, months=12)

        assert "legal reason" in refused.text
        assert cuts.term_months(log=str(vakka.pk)) == 12

    def test_holds_the_log_and_lifts_the_hold(self, signed_in, vakka, olga):
        browser = signed_in(olga)

        post(browser, "place_log_hold", log=vakka.pk, reason="Inquiry")
        assert cuts.is_held(log=str(vakka.pk))
        post(browser, "lift_log_hold", log=vakka.pk, reason="Over", hold=LogHold.objects.get().id)

        assert not cuts.is_held(log=str(vakka.pk))
        kinds = Event.objects.filter(log=str(vakka.pk)).values_list("event_type", flat=True)
        assert {EventType.LOG_HOLD_PLACED, EventType.LOG_HOLD_LIFTED} <= set(kinds)

    def test_takes_two_persons_to_agree_on_a_cut(self, signed_in, sealed, vakka, olga, oskar):
        past(has_signed_in(log=vakka.pk), months=26)
        sealed(log=str(vakka.pk))
        month = f"{until():%Y-%m}"

        post(
            signed_in(olga),
            "propose_cut",
            log=vakka.pk,
            about_conversation="no",
            until_month=month,
        )
        cut = Cut.objects.get()
        alone = post(signed_in(olga), "agree_to_cut", log=vakka.pk, cut=cut.id)
        assert Cut.objects.get().agreed_at is None
        assert "cannot agree" in alone.text
        both = post(signed_in(oskar), "agree_to_cut", log=vakka.pk, cut=cut.id)

        assert Cut.objects.get().agreed_by == oskar.reference
        assert "waits to be done" in both.text

    def test_says_that_there_is_nothing_to_cut(self, signed_in, vakka, olga):
        answer = post(
            signed_in(olga),
            "propose_cut",
            log=vakka.pk,
            about_conversation="yes",
            until_month=f"{until():%Y-%m}",
        )

        assert "nothing to cut" in answer.text


class TestReportPage:
    def test_is_for_data_protection_and_compliance(self, signed_in, vakka, dora, charlie):
        path = f"{reverse('audit:report')}?log={vakka.pk}"

        assert signed_in(dora).get(path).status == 200
        assert signed_in(charlie).get(path).status == 404

    def test_gives_dates_and_purposes_without_staff(self, signed_in, vakka, dora):
        hanna = uuid4()
        happened(played(log=vakka.pk, subject=hanna, actor=OTTO))

        answer = post(signed_in(dora), "report", log=vakka.pk, subject=hanna)

        assert "coaching" in answer.text
        assert OTTO.reference not in answer.text
        assert Event.objects.filter(event_type=EventType.SUBJECT_REPORTED).count() == 1

    def test_asks_why_staff_must_be_named(self, signed_in, vakka, dora):
        answer = post(signed_in(dora), "report", log=vakka.pk, subject=uuid4(), with_staff="on")

        assert answer.status == 422
        assert not Event.objects.filter(event_type=EventType.SUBJECT_REPORTED).exists()

    def test_gives_nothing_when_it_cannot_be_logged(self, signed_in, vakka, dora):
        browser = signed_in(dora)
        run(
            "ALTER TABLE audit_event ADD CONSTRAINT broken "
            "CHECK (event_type <> 'subject.reported') NOT VALID"
        )

        assert post(browser, "report", log=vakka.pk, subject=uuid4()).status == 503
