"""The export: what is stored, all of it, once, safe in a spreadsheet, and logged beforehand."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import tracemalloc
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import clock, export, queries
from audit.events import Actor, EventType
from audit.export import Format
from audit.models import Event
from audit.operations import AuditUnavailable, append_many, open_log
from tests.audit.given import at_minute, insert, new, played, run, signed_in

pytestmark = pytest.mark.django_db

ACTOR = Actor.system("test")


def append_all(*members: dict[str, Any]) -> None:
    with transaction.atomic():
        append_many(events=[new(each) for each in members])


def exported(form=Format.JSONL, *, rows=export.ROWS_PER_STRETCH, **wanted) -> str:
    asked = queries.Filter(**{"logs": [None], **wanted})
    return b"".join(export.stream(wanted=asked, form=form, rows=rows)).decode()


class TestJsonl:
    def test_is_the_bodies_as_they_are_oldest_first(self):
        append_all(*(played(now=at_minute(minute)) for minute in (3, 1, 2)))

        lines = exported().splitlines()

        assert lines == list(Event.objects.order_by("happened_at").values_list("body", flat=True))

    @pytest.mark.parametrize("rows", [1, 2, 3, 100])
    def test_neither_skips_nor_doubles_events_of_one_instant(self, rows):
        members = [played(now=at_minute(minute)) for minute in (1, 1, 1, 2, 1, 2, 3)]
        append_all(*members)

        lines = exported(rows=rows).splitlines()

        assert len(lines) == len(set(lines)) == len(members)
        assert [json.loads(line)["ts"] for line in lines] == sorted(
            json.loads(line)["ts"] for line in lines
        )

    def test_takes_the_log_and_the_time_asked_for_half_open(self):
        controller = uuid4()
        open_log(log=controller)
        append_all(*(played(now=at_minute(minute)) for minute in (1, 2, 3)))
        append_all(played(now=at_minute(2), log=controller))

        lines = exported(from_at=at_minute(2), until_at=at_minute(3)).splitlines()

        assert [json.loads(line)["ts"][14:16] for line in lines] == ["02"]
        assert "ctl" not in json.loads(lines[0])

    def test_is_empty_for_nothing(self):
        assert exported() == ""


class TestCsv:
    def test_holds_the_stored_columns_of_every_event(self):
        append_all(played(now=at_minute(1)), signed_in(now=at_minute(2)))

        first, second = csv.DictReader(io.StringIO(exported(Format.CSV)))

        event = Event.objects.earliest("happened_at")
        assert first["event_id"] == str(event.event_id)
        assert first["happened_at"] == json.loads(event.body)["ts"]
        assert first["basis"] == event.basis
        assert json.loads(first["facts"]) == json.loads(event.body)["x"]
        assert (second["event_type"], second["target"]) == ("session.signed_in", "")

    def test_is_only_its_header_for_nothing(self):
        assert exported(Format.CSV).count("\n") == 1

    def test_disarms_formulas_that_somebody_has_put_past_the_application(self, acting_as):
        evil = ['=1+1|"cmd"', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", 'a"b', "a,b"]
        for text in evil:
            body = {
                "id": str(uuid4()),
                "ts": "2026-05-10T12:00:00.000000Z",
                "op": text,
                "act": {"t": "user", "ref": text, "role": text},
                "obj": {"t": text, "ref": text},
                "pur": text,
                "bas": text,
                "out": text,
                "x": {"reason": text},
            }
            with acting_as("web"):
                insert("installation", False, json.dumps(body))

        rows = list(csv.DictReader(io.StringIO(exported(Format.CSV), newline="")))

        assert len(rows) == len(evil)
        for row, text in zip(rows, evil, strict=True):
            for column, cell in row.items():
                assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
                if column in ("actor", "target", "basis", "event_type"):
                    assert cell.removeprefix("'") == text


class TestBegin:
    def test_is_logged_before_the_first_byte_in_every_log(self):
        controller = uuid4()
        open_log(log=controller)
        append_all(played(now=at_minute(1)), played(now=at_minute(1), log=controller))

        pieces = export.begin(
            wanted=queries.Filter(logs=[None, controller]),
            form=Format.CSV,
            actor=ACTOR,
            now=clock.now(),
        )

        logged = Event.objects.filter(event_type=EventType.AUDIT_EXPORTED)
        assert {event.log for event in logged} == {"installation", str(controller)}
        assert json.loads(logged[0].body)["x"]["format"] == "csv"
        assert len(list(csv.reader(io.StringIO(b"".join(pieces).decode())))) == 3

    def test_gives_nothing_when_it_cannot_be_logged(self, acting_as):
        append_all(played(now=at_minute(1)))
        run("REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_web")

        with acting_as("web"), pytest.raises(AuditUnavailable):
            export.begin(
                wanted=queries.Filter(logs=[None]),
                form=Format.JSONL,
                actor=ACTOR,
                now=clock.now(),
            )

    def test_keeps_memory_flat(self):
        append_all(*(played(now=at_minute(1)) for _ in range(3000)))
        run(
            "INSERT INTO audit_event (log, about_conversation, body) "
            "SELECT log, about_conversation, body FROM audit_event, generate_series(1, 9)"
        )

        tracemalloc.start()
        size = sum(
            len(piece)
            for piece in export.stream(
                wanted=queries.Filter(logs=[None]), form=Format.JSONL, rows=1000
            )
        )
        _now, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert size > 10_000_000
        assert most < 4_000_000


class TestCommand:
    def test_writes_a_file_a_month_for_each_log_and_says_so(self, acting_as, tmp_path, capsys):
        append_all(played(now=at_minute(1, month=4)), played(now=at_minute(1, month=6)))

        with acting_as("work"):
            call_command(
                "audit",
                "export",
                "--from=2026-01-01",
                "--to=2026-12-31",
                "--format=jsonl",
                f"--output={tmp_path / 'out'}",
                "--json",
            )

        said = json.loads(capsys.readouterr().out)
        april = tmp_path / "out" / "installation" / "events-2026-04.jsonl"
        june = tmp_path / "out" / "installation" / "events-2026-06.jsonl"
        assert [file["path"] for file in said["files"]] == [str(april), str(june)]
        assert [file["events"] for file in said["files"]] == [1, 1]
        assert sorted((tmp_path / "out").rglob("*.*")) == [april, june]
        checked = subprocess.run(
            ["sha256sum", str(april)], capture_output=True, text=True, check=True
        )
        assert checked.stdout.split()[0] == said["files"][0]["sha256"]
        assert Event.objects.filter(event_type=EventType.AUDIT_EXPORTED).count() == 1

    def test_does_not_export_what_happens_afterwards(self, acting_as, tmp_path):
        with acting_as("work"):
            call_command("audit", "export", "--from=2026-01-01", f"--output={tmp_path / 'out'}")

        assert not (tmp_path / "out").exists()

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
