"""Appending events: in the transaction of the deed, in canonical form, by the registry."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import rfc8785
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from audit import request_id
from audit.events import Actor, EventRefused, EventType, Outcome, Target
from audit.models import AuditDetail, Event
from audit.operations import (
    AuditUnavailable,
    OutsideTransaction,
    accountable,
    append,
    append_alone,
    append_many,
    erase_details,
)
from tests.audit.given import ALICE, happened, new, played, signed_in

pytestmark = pytest.mark.django_db


class TestAppend:
    def test_writes_the_body_in_canonical_form_with_exactly_what_was_said(self, acting_as):
        now = datetime(2026, 11, 22, 12, 30, 59, 999999, tzinfo=UTC)
        conversation, dialog, subject, play = uuid4(), uuid4(), uuid4(), uuid4()
        grant = f"team_permission:{uuid4()}"

        with acting_as("web"):
            event = happened(
                played(
                    now=now,
                    target=Target("dialog", str(dialog)),
                    conversation=conversation,
                    subject=subject,
                    basis=grant,
                    facts={"play": play, "first_byte": 0, "last_byte": 99},
                )
            )

        body = json.loads(event.body)
        assert event.body.encode() == rfc8785.dumps(body)
        assert body == {
            "v": 1,
            "id": str(event.event_id),
            "ts": "2026-11-22T12:30:59.999999Z",
            "act": {"t": "user", "ref": ALICE.reference, "role": "coach"},
            "op": "dialog.played",
            "obj": {"t": "dialog", "ref": str(dialog)},
            "sub": str(subject),
            "pur": "coaching",
            "bas": grant,
            "out": "allow",
            "x": {
                "conversation": str(conversation),
                "first_byte": 0,
                "last_byte": 99,
                "play": str(play),
            },
        }

    def test_lets_the_database_read_its_columns_from_the_body(self):
        now = datetime(2026, 1, 1, 0, 0, 59, 999999, tzinfo=UTC)
        members = played(now=now, log=uuid4(), subject=uuid4())

        event = happened(members)

        assert (event.happened_at, event.event_type) == (now, EventType.DIALOG_PLAYED)
        assert (event.log, event.about_conversation) == (str(members["log"]), True)
        assert (event.actor, event.actor_role) == (ALICE.reference, "coach")
        assert (event.target_kind, event.target) == ("dialog", members["target"].reference)
        assert (event.subject, event.conversation) == (members["subject"], members["conversation"])
        assert (event.purpose, event.basis) == ("coaching", members["basis"])
        assert event.outcome == Outcome.ALLOW

    def test_knows_a_conversation_that_is_the_target(self):
        conversation = uuid4()

        event = happened(
            played(
                event_type=EventType.CONVERSATION_VIEWED,
                target=Target("conversation", str(conversation)),
                conversation=None,
                facts=None,
            )
        )

        assert (event.about_conversation, event.conversation) == (True, conversation)
        assert "conversation" not in json.loads(event.body)["x"]

    def test_is_refused_outside_a_transaction(self):
        with pytest.raises(OutsideTransaction):
            append(**signed_in())

    def test_goes_when_the_deed_is_rolled_back(self):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            append(**signed_in())
            raise ZeroDivisionError

        assert not Event.objects.exists()

    def test_carries_the_id_of_the_request(self):
        request = uuid4()

        with request_id.bound(request):
            event = happened(signed_in())

        assert json.loads(event.body)["req"] == {"id": str(request)}

    def test_says_when_the_data_subject_is_not_known(self):
        event = happened(played(subject=None))

        assert json.loads(event.body)["x"]["subject_unknown"] is True

    def test_takes_the_outcome_of_the_registry(self):
        refused = played(event_type=EventType.PLAYBACK_REFUSED, facts={"reason": "no_use"})

        event = happened(refused)

        assert event.outcome == Outcome.DENY


class TestAppendMany:
    def test_appends_in_order_by_one_statement(self):
        members = [played() for _ in range(20)] + [signed_in()]

        with transaction.atomic(), CaptureQueriesContext(connection) as statements:
            event_ids = append_many(events=[new(each) for each in members])

        assert len(statements) == 1
        assert list(Event.objects.order_by("id").values_list("event_id", flat=True)) == event_ids

    def test_appends_none_when_one_is_refused(self):
        events = [new(signed_in()), new(signed_in(facts={"unheard_of": 1}))]

        with pytest.raises(EventRefused), transaction.atomic():
            append_many(events=events)

        assert not Event.objects.exists()


class TestAppendAlone:
    def test_survives_what_comes_after(self):
        with pytest.raises(ZeroDivisionError):
            append_alone(**played(event_type=EventType.PLAYBACK_REFUSED, facts={"reason": "held"}))
            raise ZeroDivisionError

        assert Event.objects.get().event_type == EventType.PLAYBACK_REFUSED

    def test_is_refused_inside_a_transaction_that_could_take_it_away(self):
        with pytest.raises(RuntimeError), transaction.atomic():
            append_alone(**signed_in())

        assert not Event.objects.exists()


class TestAccountable:
    def test_commits_before_anything_follows(self, stage):
        with accountable():
            append(**played())

        with stage.acting_as("web"):
            assert Event.objects.count() == 1

    def test_says_a_sentence_fit_for_a_person(self):
        with translation.override("en"):
            assert str(AuditUnavailable()) == (
                "Listening is stopped for now because it cannot be logged."
            )


class TestDetail:
    def test_is_kept_apart_and_committed_to(self):
        event = happened(signed_in(detail={"address": "192.0.2.7", "reason": "Matti soitti 😀"}))

        detail = AuditDetail.objects.get(event_id=event.event_id)
        expected = hashlib.sha256(bytes(detail.salt) + detail.text.encode()).digest()
        assert base64.b64decode(json.loads(event.body)["pd"]) == expected
        assert "Matti" not in event.body
        assert json.loads(detail.text)["reason"] == "Matti soitti 😀"

    def test_can_be_erased_while_the_event_stays_and_it_is_said(self, acting_as):
        event = happened(signed_in(detail={"reason": "Matti"}))

        with acting_as("work"):
            erased = erase_details(
                event_ids=[event.event_id],
                log=None,
                actor=Actor.system("test"),
                now=event.happened_at,
                reason="term_over",
            )

        assert erased == 1
        assert not AuditDetail.objects.exists()
        assert Event.objects.get(event_id=event.event_id).body == event.body
        assert Event.objects.filter(event_type=EventType.DETAIL_ERASED).count() == 1
