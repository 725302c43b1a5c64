"""The command that exports and proves, and the pages of the log it reads."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import clock, queries, verify
from audit.events import Actor, EventType
from audit.models import Checkpoint, Event
from audit.operations import append_many, open_log
from tests.audit.given import at_minute, new, played, run, signed_in

pytestmark = pytest.mark.django_db

ACTOR = Actor.system("test")


def append_all(*members: dict[str, Any]) -> None:
    with transaction.atomic():
        append_many(events=[new(each) for each in members])


class TestCommand:
    def test_writes_a_bundle_for_each_log_and_says_so(self, acting_as, sealer, tmp_path, capsys):
        company = uuid4()
        open_log(log=company)
        append_all(played(now=at_minute(1)), played(now=at_minute(1), log=company))

        with acting_as("work"):
            call_command(
                "audit",
                "export",
                "--from=2026-01-01",
                "--to=2026-06-01",
                "--format=csv",
                f"--output={tmp_path / 'out'}",
                "--json",
            )

        said = json.loads(capsys.readouterr().out)["bundles"]
        paths = [
            tmp_path / "out" / f"{log}-2026-01-01-to-2026-06-01"
            for log in ("installation", company)
        ]
        assert [bundle["path"] for bundle in said] == [str(path) for path in paths]
        with pytest.raises(SystemExit) as ended:
            call_command("audit", "verify", *map(str, paths))
        assert ended.value.code == 0
        assert capsys.readouterr().out.count("INTACT") == 3

    def test_proves_an_event_and_names_the_keys(self, acting_as, sealer, tmp_path, capsys):
        append_all(signed_in())
        event = Event.objects.latest("id")
        with acting_as("work"):
            call_command("audit", "export", "--from=2026-01-01", f"--output={tmp_path / 'out'}")
            capsys.readouterr()
            call_command("audit", "prove", str(event.event_id))
            proof = capsys.readouterr().out
            call_command("audit", "keys")
        keys = capsys.readouterr().out.splitlines()

        _head, found = verify.check_proof(proof, keys)
        assert found.extra.decode() == event.body

    def test_proves_that_a_head_continues_an_earlier_one(self, sealer, tmp_path, capsys):
        call_command("audit", "export", "--from=2026-01-01", f"--output={tmp_path / 'out'}")
        size = Checkpoint.objects.earliest("size").size
        capsys.readouterr()

        call_command("audit", "consistency", "--log=installation", f"--earlier={size}")

        assert json.loads(capsys.readouterr().out).keys() == {"earlier", "later", "proof"}

    @pytest.mark.parametrize(
        "wrong",
        [
            ["--from=yesterday"],
            ["--from=2026-02-01", "--to=2026-01-01"],
            ["--from=2026-01-01", "--log=nobody"],
            ["--from=2026-01-01", f"--log={uuid4()}"],
            ["--from=2026-01-01", "--format=xml"],
        ],
    )
    def test_tells_wrong_use(self, tmp_path, wrong):
        with pytest.raises(CommandError) as told:
            call_command("audit", "export", f"--output={tmp_path / 'out'}", *wrong)

        assert told.value.returncode in (1, 2)
        assert not Event.objects.exists()

    def test_exports_nothing_when_it_cannot_be_logged(self, acting_as, tmp_path):
        append_all(played(now=at_minute(1)))
        run("REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_work")

        with acting_as("work"), pytest.raises(CommandError, match="nothing was exported"):
            call_command("audit", "export", "--from=2026-01-01", f"--output={tmp_path / 'out'}")

        assert not (tmp_path / "out").exists()

    def test_creates_partitions_and_names_what_needs_a_person(self, acting_as, capsys):
        append_all(played(log=uuid4()))

        with acting_as("work"), pytest.raises(SystemExit) as ended:
            call_command("audit", "partitions", "--months=4", "--json")

        said = json.loads(capsys.readouterr().out)
        assert (ended.value.code, said["created"]) == (1, 2 * 2)
        assert [fault["events"] for fault in said["faults"]] == [1]


class TestPage:
    def test_is_newest_first_and_goes_on_without_gap_or_repeat(self):
        members = [played(now=at_minute(minute)) for minute in (1, 2, 2, 2, 3, 1, 4)]
        append_all(*members)

        seen, place = [], None
        while True:
            page = queries.page(wanted=queries.Filter(logs=[None]), after=place, rows=2)
            seen += page.events
            place = page.next_place and queries.Place.parse(str(page.next_place))
            if place is None:
                break

        order = [(event.happened_at, event.id) for event in seen]
        assert order == sorted(order, reverse=True)
        assert len(set(order)) == len(members)

    def test_filters_by_who_what_object_and_time(self):
        conversation = uuid4()
        bob = Actor.user(uuid4())
        about = played(now=at_minute(1), conversation=conversation)
        append_all(
            about,
            played(now=at_minute(2), actor=bob),
            signed_in(now=at_minute(3), actor=bob),
            played(now=at_minute(4)),
        )

        def found(**wanted: Any) -> list[int]:
            page = queries.page(wanted=queries.Filter(logs=[None], **wanted), rows=50)
            return [event.happened_at.minute for event in page.events]

        assert found(actor=bob.reference) == [3, 2]
        assert found(event_type=EventType.DIALOG_PLAYED) == [4, 2, 1]
        assert found(about=str(conversation)) == [1]
        assert found(about=about["target"].reference) == [1]
        assert found(about="no.such.thing") == []
        assert found(from_at=at_minute(2), until_at=at_minute(4)) == [3, 2]
        assert found(actor=bob.reference, event_type=EventType.DIALOG_PLAYED) == [2]
        assert queries.page(wanted=queries.Filter(logs=[uuid4()]), rows=50).events == []


class TestPlace:
    @settings(max_examples=100, deadline=None)
    @given(st.text())
    def test_is_read_back_or_refused(self, text):
        try:
            place = queries.Place.parse(text)
        except queries.NotACursor:
            return
        assert queries.Place.parse(str(place)) == place

    def test_keeps_microseconds(self):
        at = clock.now() + timedelta(microseconds=1)

        assert queries.Place.parse(str(queries.Place(at, 7))) == queries.Place(at, 7)
