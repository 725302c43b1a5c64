"""Events of contracts and claims: what they move, when they come twice, late, wrong or at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connection, transaction

from accounts.roles import Role
from audit.models import Event
from recordings.keyring import FileKeyring
from retention.explaining import explanation_of
from retention.models import BusinessEvent, Recomputation
from retention.operations import business_events
from retention.operations.business_events import (
    EventRefused,
    NewBusinessEvent,
    delete_past,
    record_events,
)
from retention.operations.cover import cover
from retention.operations.recompute import recompute_next
from tests.retention.enacting import create_rule
from tests.retention.retention_factories import (
    ENDED,
    NOW,
    draft,
    make_controller,
    make_conversation,
    make_purpose,
    make_source,
    make_user,
)

CLOSED = NOW + timedelta(days=30)
LATER = CLOSED + timedelta(hours=1)
AT_CAP = datetime(2028, 11, 20, 12, 32, tzinfo=UTC)
BY_CLAIM: dict[str, Any] = {"months": 6, "trigger": "claim.closed", "cap_months": 24}


@pytest.fixture
def keyring(tmp_path):
    return FileKeyring.prepare(tmp_path / "keys")


@pytest.fixture
def vakka(db):
    return make_controller()


@pytest.fixture
def rule(vakka):
    officer = make_user("Olga Officer", Role.COMPLIANCE_OFFICER, vakka)
    return create_rule(
        controller=vakka,
        purpose=make_purpose("claims"),
        name="Claims",
        draft=draft(**BY_CLAIM),
        user=officer,
        now=NOW - timedelta(days=30),
    )


@pytest.fixture
def captured(vakka, rule, keyring):
    """Have a conversation about these claims covered, as capture does."""
    source = make_source(vakka)

    def capture(*claims: str, now: datetime = NOW, **details):
        conversation = make_conversation(
            source, claims=claims, keyring=keyring, captured_at=now, **details
        )
        cover(conversation=conversation, now=now, keyring=keyring)
        return conversation

    return capture


@pytest.fixture
def tell(vakka, keyring):
    """Say that a claim of Vakka's was closed."""

    def said(*claims: str, at: datetime = CLOSED, now: datetime = LATER, event="claim.closed"):
        events = [NewBusinessEvent(event, claim, at) for claim in claims]
        return record_events(controller=vakka, events=events, keyring=keyring, now=now)

    return said


def end_of(conversation) -> datetime:
    conversation.refresh_from_db()
    return conversation.destroy_after


class TestRecordEvents:
    def test_moves_the_end_and_its_key_in_the_same_deed(self, captured, tell):
        conversation = captured("K-17")
        assert end_of(conversation) == AT_CAP

        recorded = tell(" k-17 ")

        assert (recorded.new, recorded.conversations) == (1, 1)
        assert end_of(conversation) == datetime(2027, 6, 22, 11, 0, tzinfo=UTC)
        assert conversation.kek_name.endswith("2027-06")
        assert conversation.permitted_uses.get().until_at == conversation.destroy_after

    def test_keeps_and_logs_nothing_of_the_number_in_clear(self, captured, tell):
        captured("K-17170")

        tell("K-17170")

        event = Event.objects.get(event_type="business_event.recorded")
        row = BusinessEvent.objects.get()
        assert event.target == str(row.pk)
        assert "17170" not in event.body
        assert b"17170" not in bytes(row.reference_hash)

    def test_reaches_what_is_captured_after_it(self, captured, tell):
        tell("K-17")

        conversation = captured("K-17", now=LATER)

        assert end_of(conversation) == datetime(2027, 6, 22, 11, 0, tzinfo=UTC)

    def test_leaves_what_is_about_another_claim_contract_or_company(
        self, captured, tell, keyring, rule
    ):
        others = [captured("K-18"), captured(contracts=["K-17"]), captured()]
        onni = make_controller("Onni")
        stranger = make_conversation(make_source(onni), claims=["K-17"], keyring=keyring)

        recorded = tell("K-17")

        assert recorded.conversations == 0
        assert {end_of(other) for other in others} == {AT_CAP}
        assert end_of(stranger) is None

    def test_waits_for_the_last_of_several_claims(self, captured, tell):
        conversation = captured("K-17", "K-18")

        tell("K-17")
        assert end_of(conversation) == AT_CAP
        tell("K-18", at=CLOSED - timedelta(days=60))

        assert end_of(conversation) == datetime(2027, 6, 22, 11, 0, tzinfo=UTC)

    def test_again_changes_nothing(self, captured, tell):
        captured("K-17")
        tell("K-17")
        events = Event.objects.count()

        recorded = tell("K-17", "K-17", now=LATER + timedelta(days=1))

        assert (recorded.new, recorded.known) == (0, 2)
        assert (BusinessEvent.objects.count(), Event.objects.count()) == (1, events)

    def test_what_is_said_last_corrects_what_was_said_before(self, captured, tell):
        conversation = captured("K-17")
        tell("K-17", at=CLOSED - timedelta(days=20))

        tell("K-17", now=LATER + timedelta(days=1))

        assert end_of(conversation) == datetime(2027, 6, 22, 11, 0, tzinfo=UTC)

    def test_never_ends_after_the_cap(self, captured, tell):
        conversation = captured("K-17")
        late = AT_CAP - timedelta(days=3)

        tell("K-17", at=late, now=late)

        assert end_of(conversation) == AT_CAP

    def test_changes_nothing_that_is_withdrawn(self, captured, tell):
        conversation = captured("K-17")
        conversation.state, conversation.withdrawn_at = "withdrawn", NOW
        conversation.save()

        assert tell("K-17").conversations == 0
        assert end_of(conversation) == AT_CAP

    def test_leaves_many_to_the_recomputation(self, captured, tell, keyring, monkeypatch):
        monkeypatch.setattr(business_events, "AT_ONCE", 1)
        two = [captured("K-17"), captured("K-17")]
        Recomputation.objects.update(finished_at=NOW)

        tell("K-17")
        assert [end_of(one) for one in two] == [AT_CAP, AT_CAP]
        while recompute_next(now=LATER, keyring=keyring):
            pass

        assert {end_of(one) for one in two} == {datetime(2027, 6, 22, 11, 0, tzinfo=UTC)}

    def test_records_all_or_nothing(self, captured, tell, vakka, keyring):
        conversation = captured("K-17")

        for event, reference, at in [
            ("claim.opened", "K-18", CLOSED),
            ("claim.closed", "  ", CLOSED),
            ("claim.closed", "K-18", LATER + timedelta(hours=1)),
        ]:
            with pytest.raises(EventRefused):
                record_events(
                    controller=vakka,
                    events=[
                        NewBusinessEvent("claim.closed", "K-17", CLOSED),
                        NewBusinessEvent(event, reference, at),
                    ],
                    keyring=keyring,
                    now=LATER,
                )

        assert not BusinessEvent.objects.exists()
        assert end_of(conversation) == AT_CAP

    def test_records_nothing_when_the_audit_log_is_down(self, captured, tell, monkeypatch):
        conversation = captured("K-17")

        def down(**_: object) -> None:
            raise DatabaseError

        monkeypatch.setattr(business_events, "append_many", down)
        with pytest.raises(DatabaseError):
            tell("K-17")

        assert not BusinessEvent.objects.exists()
        assert end_of(conversation) == AT_CAP

    def test_waits_for_a_capture_under_way(self, stage, captured, tell, vakka):
        captured("K-17")
        part = int.from_bytes(vakka.pk.bytes[-4:], "big", signed=True)

        with psycopg.connect(stage.environment("owner")["DATABASE_URL"]) as capture:
            capture.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", [0x5255, part])
            with (
                pytest.raises(OperationalError, match="lock timeout"),
                transaction.atomic(),
                connection.cursor() as cursor,
            ):
                cursor.execute("SET LOCAL lock_timeout = '50ms'")
                tell("K-17")

        assert tell("K-17").new == 1

    def test_the_worker_may_and_the_web_may_not(self, stage, captured, tell, keyring):
        conversation = captured("K-17")

        with stage.acting_as("web"), pytest.raises(DatabaseError):
            tell("K-17")
        with stage.acting_as("work"):
            tell("K-17")

        assert end_of(conversation) == datetime(2027, 6, 22, 11, 0, tzinfo=UTC)


class TestDeletePast:
    def test_takes_what_is_old_and_borne_by_nothing_that_is_kept(self, stage, captured, tell):
        captured("K-17")
        gone = captured("K-18")
        gone.state, gone.withdrawn_at = "withdrawn", NOW
        gone.save()
        tell("K-17", "K-18", "K-19")
        tell("K-20", now=LATER + timedelta(days=2))

        with stage.acting_as("work"):
            deleted = delete_past(now=LATER + timedelta(days=731))

        assert (deleted, BusinessEvent.objects.count()) == (2, 2)


class TestExplain:
    def test_says_what_it_waits_for_and_what_has_come(self, captured, tell):
        conversation = captured("K-17")
        (waiting,) = explanation_of(conversation, at=NOW).purposes
        tell("K-17")
        conversation.refresh_from_db()

        (come,) = explanation_of(conversation, at=LATER).purposes
        (replayed,) = explanation_of(conversation, at=NOW).purposes

        assert (waiting.rules[0].counted_from, waiting.rules[0].until_at) == (None, AT_CAP)
        assert come.rules[0].counted_from == CLOSED
        assert come.computed_until_at == come.until_at
        assert replayed.computed_until_at == AT_CAP
        assert replayed.rules == waiting.rules


class TestCommand:
    @pytest.fixture
    def keyring(self, stage):
        return FileKeyring(stage.keys)

    @pytest.fixture
    def run(self, stage, vakka):
        """Run the command as the worker; gives what it printed."""

        def command(*words: str) -> str:
            printed = StringIO()
            with stage.acting_as("work"):
                call_command(
                    *("business_event", *words, "--controller", vakka.slug),
                    stdout=printed,
                    stderr=printed,
                )
            return printed.getvalue()

        return command

    def test_records_one(self, run, captured):
        conversation = captured("K-17")

        printed = run("claim.closed", "K-17", "--at", "2026-11-21T12:00:00+02:00", "--json")

        assert json.loads(printed) == {"new": 1, "known": 0, "conversations": 1}
        assert end_of(conversation) == datetime(2027, 5, 21, 9, 0, tzinfo=UTC)

    def test_records_a_file_of_either_kind(self, run, captured, tmp_path):
        conversation = captured("K-17")
        table, lines = tmp_path / "a.csv", tmp_path / "b.jsonl"
        table.write_text(
            "reference,event,at\r\nK-17,claim.closed,2026-11-21T12:00:00Z\r\n\r\n"
            "S-1,contract.ended,2026-11-21T12:00:00Z\r\n",
            encoding="utf-8-sig",
        )
        lines.write_text(
            '{"event": "claim.closed", "reference": "K-17", "at": "2026-11-21T12:00:00Z"}\n\n'
        )

        first = run("--file", str(table))
        again = run("--file", str(lines))

        assert first.startswith("2 new, 0 known already; 1 kept")
        assert again.startswith("0 new, 1 known already")
        assert end_of(conversation) == datetime(2027, 5, 21, 11, 0, tzinfo=UTC)

    def test_names_each_bad_line_never_quotes_it_and_takes_nothing_in(
        self, vakka, captured, tmp_path
    ):
        captured("K-17")
        file = tmp_path / "bad.jsonl"
        file.write_text(
            '{"event": "claim.closed", "reference": "K-17", "at": "2026-11-21T12:00:00Z"}\n'
            '{"event": "claim.closed", "reference": "SECRET", "at": "2026-11-21T12:00:00"}\n'
            '{"event": "SECRET", "reference": "K-1", "at": "2026-11-21T12:00:00Z"}\n'
            "SECRET\n"
            '{"event": "claim.closed", "reference": "K-1"}\n'
            '{"event": "claim.closed", "reference": "K-1", "at": "2098-11-21T12:00:00Z"}\n'
        )
        printed = StringIO()

        with pytest.raises(CommandError) as refused:
            call_command(
                "business_event",
                *("--file", str(file), "--controller", vakka.slug),
                stdout=printed,
                stderr=printed,
            )

        assert refused.value.returncode == 2
        assert [line.partition(":")[0] for line in printed.getvalue().splitlines()] == [
            f"line {number}" for number in (2, 3, 4, 5, 6)
        ]
        assert "SECRET" not in printed.getvalue() + str(refused.value)
        assert not BusinessEvent.objects.exists()

    @pytest.mark.parametrize(
        "words",
        [
            ["claim.closed"],
            ["claim.opened", "K-1"],
            ["claim.closed", "K-1", "--at", "yesterday"],
            ["--file", "/nowhere/at.all"],
            ["claim.closed", "K-1", "--file", "/nowhere/at.all"],
        ],
    )
    def test_refuses_wrong_use(self, run, words):
        with pytest.raises(CommandError) as refused:
            run(*words)

        assert refused.value.returncode == 2


def test_a_conversation_that_ended_after_its_claim_is_kept_its_time_from_its_own_end(
    captured, tell
):
    tell("K-17", at=ENDED - timedelta(days=400))

    assert end_of(captured("K-17", now=LATER)) == datetime(2027, 5, 20, 11, 32, tzinfo=UTC)
