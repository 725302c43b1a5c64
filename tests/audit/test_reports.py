"""A data subject learns when and for what her data was looked at; staff are left out."""

from __future__ import annotations

import csv
import json
from uuid import uuid4

import pytest

from accounts.models import User
from audit import clock, reports
from audit.events import Actor, EventType
from audit.models import AuditDetail, Event
from audit.names import names_of
from audit.operations import AuditUnavailable
from audit.operations.reports import StaffWithoutReason, report_on_subject
from tests import factories
from tests.audit.given import ALICE, happened, played, run
from tests.harness.commands import manage

pytestmark = pytest.mark.django_db
HANNA = uuid4()


@pytest.fixture
def company(vakka):
    return vakka


def report(company, **how):
    return report_on_subject(
        **{
            "logs": [company.pk],
            "subject": HANNA,
            "conversations": [],
            "with_staff": False,
            "reason": "",
            "actor": ALICE,
            "now": clock.now(),
            **how,
        }
    )


class TestReport:
    def test_gives_dates_purposes_and_kinds_and_no_staff(self, acting_as, company):
        look = happened(played(log=company.pk, subject=HANNA))
        happened(played(log=company.pk, subject=uuid4()))
        with acting_as("web"):
            made = report(company)
            text = reports.as_csv(made, with_staff=False)

        assert [each.happened_at for each in made.looks] == [look.happened_at]
        assert "Vakka" in text
        assert "coaching" in text
        assert ALICE.reference not in text

    def test_counts_the_ranges_of_one_listening_once(self, company):
        play, conversation = uuid4(), uuid4()
        for first in (0, 1024):
            facts = {"play": play, "first_byte": first, "last_byte": first + 1023}
            happened(played(log=company.pk, subject=HANNA, conversation=conversation, facts=facts))

        assert len(report(company).looks) == 1

    def test_counts_looks_at_her_conversations_without_a_known_subject(self, company):
        hers = uuid4()
        happened(played(log=company.pk, conversation=hers))
        happened(played(log=company.pk, conversation=hers, subject=HANNA))
        happened(played(log=company.pk))

        made = report(company, conversations=[hers])

        assert (len(made.looks), made.unknown) == (1, 1)

    def test_names_staff_only_with_a_reason_which_is_kept_as_a_detail(self, company):
        alice = factories.person("Alice Aalto", employer=company)
        happened(played(log=company.pk, subject=HANNA, actor=Actor.user(alice.reference)))
        with pytest.raises(StaffWithoutReason):
            report(company, with_staff=True, reason=" ")

        made = report(company, with_staff=True, reason="She suspects a relative.")

        assert "Alice Aalto" in reports.as_csv(made, with_staff=True)
        event = Event.objects.get(event_type=EventType.SUBJECT_REPORTED)
        assert json.loads(event.body)["x"]["staff"] is True
        assert "relative" not in event.body
        assert "relative" in AuditDetail.objects.get(event_id=event.event_id).text

    def test_is_not_given_when_it_cannot_be_logged(self, company):
        run("ALTER TABLE audit_event ADD CONSTRAINT broken CHECK (false) NOT VALID")

        with pytest.raises(AuditUnavailable):
            report(company)

    def test_is_no_look_itself(self, company):
        report(company)

        assert report(company).looks == []


class TestMappingErased:
    def test_leaves_the_reference_where_the_name_was(self, company):
        alice = factories.person("Alice Aalto", employer=company)
        reference = str(alice.reference)
        look = happened(played(log=company.pk, subject=HANNA, actor=Actor.user(alice.reference)))
        assert names_of([reference]) == {reference: "Alice Aalto"}
        assert "Alice" not in look.body

        User.objects.filter(pk=alice.pk).delete()

        assert names_of([reference]) == {}
        text = reports.as_csv(report(company), with_staff=True)
        assert reference in text
        assert Event.objects.get(event_id=look.event_id).body == look.body


class TestCommand:
    @pytest.mark.parametrize(
        ("language", "head"), [("en", "When"), ("fi", "Milloin"), ("sv", "När")]
    )
    def test_writes_a_file_in_the_language_asked_for(
        self, stage, tmp_path, company, language, head
    ):
        happened(played(log=company.pk, subject=HANNA))
        output = tmp_path / "report.csv"
        command = ("audit", "report", "--subject", str(HANNA), "--output", str(output))

        done = manage(stage, *command, "--language", language, role="work")

        assert done.code == 0, done.printed
        rows = list(csv.reader(output.open()))
        assert rows[0][0] == head
        assert len(rows) == 2
        assert output.stat().st_mode & 0o077 == 0

    def test_asks_for_the_reason_of_naming_staff(self, stage, tmp_path, company):
        output = tmp_path / "report.csv"
        command = ("audit", "report", "--subject", str(HANNA), "--output", str(output))

        done = manage(stage, *command, "--with-staff", role="work")

        assert done.code == 2, done.printed
        assert not output.exists()
