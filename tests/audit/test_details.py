"""What is personal about events ends before they do, and they still verify."""

from __future__ import annotations

import json
from datetime import timedelta
from importlib import import_module
from uuid import UUID, uuid4

import pytest
from django.conf import settings

from audit import bodies, clock, trees, verify
from audit.events import Actor, EventType
from audit.models import AuditDetail, Event
from audit.operations import open_log
from audit.operations.details import DetailNotErased, erase_detail, erase_past_details
from audit.operations.growth import place_log_hold
from audit.operations.sealing import Sealer, introduce_key
from audit.sealing_keys import SealingKeys
from tests.audit.given import happened, run, signed_in
from tests.harness.commands import manage

pytestmark = pytest.mark.django_db
OLGA = Actor.user(UUID("01a00000-0000-4000-8000-000000000001"))


def with_address(**members) -> Event:
    return happened(signed_in(detail={"address": "192.0.2.1"}, **members))


def later(days: int):
    return clock.now() + timedelta(days=days)


def erased_counts(log: str = "installation") -> list[int]:
    found = Event.objects.filter(event_type=EventType.DETAIL_ERASED, log=log)
    return [json.loads(body)["x"]["count"] for body in found.values_list("body", flat=True)]


class TestPast:
    def test_end_by_themselves_log_by_log_with_one_event_each(self, acting_as):
        company = uuid4()
        open_log(log=company)
        for log in (None, None, company):
            with_address(log=log)

        with acting_as("work"):
            kept = erase_past_details(now=later(settings.AUDIT_DETAIL_KEPT_DAYS - 1))
            erased = erase_past_details(now=later(settings.AUDIT_DETAIL_KEPT_DAYS + 1))
            again = erase_past_details(now=later(settings.AUDIT_DETAIL_KEPT_DAYS + 1))

        assert (kept, erased, again) == (0, 3, 0)
        assert not AuditDetail.objects.exists()
        assert (erased_counts(), erased_counts(str(company))) == ([2], [1])

    def test_stay_while_their_log_is_held(self, acting_as):
        event = with_address()
        place_log_hold(log=None, reason="Inquiry", actor=OLGA, now=clock.now())

        with acting_as("work"):
            assert erase_past_details(now=later(settings.AUDIT_DETAIL_KEPT_DAYS + 1)) == 0

        assert AuditDetail.objects.filter(event_id=event.event_id).exists()

    def test_the_event_still_verifies(self, tmp_path, acting_as):
        keys = SealingKeys(tmp_path / "seal-keys")
        introduce_key(keys=keys, now=clock.now())
        event = with_address()
        detail = AuditDetail.objects.get(event_id=event.event_id)
        committed = json.loads(event.body)["pd"]
        assert bodies.commitment(salt=bytes(detail.salt), text=detail.text) == committed
        Sealer(keys).seal(log="installation", now=clock.now())

        with acting_as("work"):
            erase_past_details(now=later(settings.AUDIT_DETAIL_KEPT_DAYS + 1))

        leaf = trees.leaf_of(event=event.id)
        newest = trees.newest_checkpoint(log="installation")
        verify.check_inclusion(
            verify.leaf_hash(Event.objects.get(event_id=event.event_id).body.encode()),
            leaf.leaf_index,
            newest.size,
            trees.tree(log="installation", size=newest.size).inclusion_proof(leaf.leaf_index),
            bytes(newest.root),
        )


class TestWrittenBefore:
    def test_are_given_their_log_and_an_end(self):
        event = with_address()
        run("ALTER TABLE audit_detail DISABLE TRIGGER audit_detail_refuse_change")
        run("UPDATE audit_detail SET log = NULL, delete_after = NULL")
        run("ALTER TABLE audit_detail ENABLE TRIGGER audit_detail_refuse_change")

        run(import_module("audit.migrations.0003_growth").DETAILS)

        detail = AuditDetail.objects.get(event_id=event.event_id)
        assert detail.log == "installation"
        assert detail.delete_after == event.happened_at + timedelta(days=365)


class TestOne:
    def test_is_erased_when_asked_and_it_is_logged(self, stage):
        event, other = with_address(), with_address()

        command = ("audit", "erase-detail", str(event.event_id), "--reason", "data_subject")
        done = manage(stage, *command, role="work")
        again = manage(stage, *command, role="work")

        assert (done.code, again.code) == (0, 1), done.printed
        assert list(AuditDetail.objects.values_list("event_id", flat=True)) == [other.event_id]
        assert erased_counts() == [1]

    def test_of_a_held_log_is_not(self):
        event = with_address()
        place_log_hold(log=None, reason="Inquiry", actor=OLGA, now=clock.now())

        with pytest.raises(DetailNotErased):
            erase_detail(event_id=event.event_id, reason="mistake", actor=OLGA, now=clock.now())

        assert AuditDetail.objects.filter(event_id=event.event_id).exists()

    def test_is_not_erased_when_that_cannot_be_logged(self):
        event = with_address()
        run("ALTER TABLE audit_event ADD CONSTRAINT broken CHECK (false) NOT VALID")

        with pytest.raises(Exception, match="broken"):
            erase_detail(event_id=event.event_id, reason="mistake", actor=OLGA, now=clock.now())

        assert AuditDetail.objects.filter(event_id=event.event_id).exists()
