"""A bundle holds what was asked for and proves it; whatever is altered in it is found."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from uuid import UUID, uuid4

import pyarrow.parquet
import pytest
from django.db import transaction

from audit import clock, proofs, queries, verify
from audit.bundles import building
from audit.bundles.copies import Format
from audit.bundles.sinks import FolderBegun
from audit.events import Actor, EventType
from audit.models import Event, Leaf
from audit.notes import Checkpoint
from audit.operations import AuditUnavailable, append_many, exporting
from audit.operations.exporting import to_folder, to_zip
from audit.operations.sealing import introduce_key
from tests.audit.given import at_minute, happened, insert, new, played, run, signed_in
from tests.harness.sealer import sealed_meanwhile

pytestmark = pytest.mark.django_db

LOG = "installation"
ACTOR = Actor.system("test")


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(building, "EVENTS_PER_PART", 4)


def append_all(*members):
    with transaction.atomic():
        append_many(events=[new(each) for each in members])


def trusted(log=LOG):
    return proofs.public_keys(log=log)


def export(target: Path, form=Format.JSONL, log=None, **wanted) -> Path:
    steps = to_folder(
        target=target,
        wanted=queries.Filter(logs=[log], **wanted),
        form=form,
        actor=ACTOR,
        now=clock.now(),
    )
    for _step in steps:
        pass
    return target


def checked(path: Path, **others) -> verify.Bundle:
    return verify.check_bundle(str(path), trusted(), **others)


def events_in(bundle: Path) -> list[dict]:
    return [
        json.loads(line)
        for path in sorted((bundle / "events").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]


class TestBundle:
    def test_of_a_time_has_all_events_of_it_and_the_ones_at_its_edges(
        self, sealer, small_parts, tmp_path
    ):
        for minute in (1, 5, 2, 3, 3, 3, 4, 9):
            append_all(played(now=at_minute(minute)))

        made = export(tmp_path / "b", from_at=at_minute(2), until_at=at_minute(4))

        found = checked(made)
        minutes = [int(body["ts"][14:16]) for body in events_in(made)]
        assert minutes == [5, 2, 3, 3, 3, 4]
        assert (found.manifest["is_all"], found.manifest["outside"]) == (True, 2)
        assert len(list((made / "events").glob("*.jsonl"))) == 2

    def test_of_chosen_events_proves_each_of_them(self, sealer, small_parts, tmp_path):
        conversation = uuid4()
        for minute in range(20):
            about = {"conversation": conversation} if minute % 3 == 0 else {}
            append_all(played(now=at_minute(minute), **about), signed_in(now=at_minute(minute)))

        made = export(tmp_path / "b", about=str(conversation))

        found = checked(made)
        assert [int(body["ts"][14:16]) for body in events_in(made)] == [0, 3, 6, 9, 12, 15, 18]
        assert not found.manifest["is_all"]
        assert len(found.ranges) == 7

    def test_of_nothing_is_one_too(self, sealer, tmp_path):
        made = export(tmp_path / "b", about="no.such.thing")

        assert checked(made).events == 0

    def test_is_what_is_stored_byte_for_byte(self, sealer, tmp_path):
        append_all(*(played(now=at_minute(minute)) for minute in range(5)))

        made = export(tmp_path / "b", from_at=at_minute(0))

        lines = (made / "events/000001.jsonl").read_text().splitlines()
        stored = dict(Event.objects.values_list("event_id", "body"))
        assert len(lines) >= 5
        assert all(stored[UUID(json.loads(line)["id"])] == line for line in lines)

    def test_has_what_whoever_receives_it_needs(self, sealer, tmp_path):
        made = export(tmp_path / "b")

        names = {path.name for path in made.iterdir()}
        assert {"README.en.txt", "README.fi.txt", "README.sv.txt", "verify.py"} <= names
        assert (made / "verify.py").read_bytes() == Path(verify.__file__).read_bytes()
        assert not list(made.rglob(".*"))

    def test_follows_a_change_of_the_key(self, sealer, tmp_path):
        old = trusted()
        append_all(signed_in())
        export(tmp_path / "before")
        sealer.create(now=clock.now().replace(year=2099))
        introduce_key(keys=sealer, now=clock.now())
        append_all(signed_in())

        made = export(tmp_path / "after")

        found = verify.check_bundle(str(made), old)
        old_key, new_key = trusted()
        assert old_key in old
        new_name = verify.key_fingerprint(new_key)
        assert new_name in found.signed_by
        assert verify.check_bundle(str(made), [new_key]).signed_by == [new_name]
        with pytest.raises(verify.Incomplete):
            verify.check_bundle(str(made), [])

    @pytest.mark.parametrize("form", list(Format))
    def test_has_the_copy_that_was_asked_for(self, sealer, small_parts, tmp_path, form):
        append_all(*(played(now=at_minute(minute)) for minute in range(6)))

        made = export(tmp_path / "b", form, from_at=at_minute(0))

        checked(made)
        count = len(events_in(made))
        copies = sorted((made / "copy").glob("*")) if form is not Format.JSONL else []
        if form is Format.CSV:
            read = [row for path in copies for row in csv.DictReader(path.open())]
            assert [row["event_id"] for row in read] == [body["id"] for body in events_in(made)]
        elif form is Format.PARQUET:
            tables = [pyarrow.parquet.read_table(path) for path in copies]
            assert sum(table.num_rows for table in tables) == count
            assert str(tables[0].schema.field("happened_at").type) == "timestamp[us, tz=UTC]"
        elif form is Format.OCSF:
            said = [json.loads(line) for path in copies for line in path.read_text().splitlines()]
            assert [event["metadata"]["uid"] for event in said] == [
                body["id"] for body in events_in(made)
            ]
            assert all(
                event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
                for event in said
            )

    def test_disarms_formulas_that_somebody_has_put_past_the_application(
        self, sealer, acting_as, tmp_path
    ):
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
                insert(LOG, False, json.dumps(body))

        made = export(tmp_path / "b", Format.CSV, from_at=at_minute(0), until_at=at_minute(1))

        read = list(
            csv.DictReader(
                io.StringIO((made / "copy/000001.csv").read_bytes().decode(), newline="")
            )
        )
        found = [row for row in read if row["happened_at"].startswith("2026-05-10T12:00:00")]
        assert len(found) == len(evil)
        for row, text in zip(found, evil, strict=True):
            for column, cell in row.items():
                assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
                if column in ("actor", "target", "basis", "event_type"):
                    assert cell.removeprefix("'") == text


class TestTampering:
    def test_any_flipped_byte_of_any_file_is_found(self, sealer, small_parts, tmp_path):
        append_all(*(played(now=at_minute(minute)) for minute in range(9)))
        made = export(tmp_path / "b", Format.CSV, from_at=at_minute(1), until_at=at_minute(8))
        checked(made)
        rng = random.Random(20261127)
        files = [path for path in made.rglob("*") if path.is_file()]

        for path in files:
            whole = path.read_bytes()
            for at in {0, len(whole) - 1, *(rng.randrange(len(whole)) for _ in range(12))}:
                mutant = bytearray(whole)
                mutant[at] ^= 1 << rng.randrange(8)
                path.write_bytes(mutant)
                with pytest.raises((verify.Tampered, verify.Incomplete)):
                    checked(made)
            path.write_bytes(whole)
        checked(made)

    @pytest.mark.parametrize("what", ["changed", "removed", "swapped", "doubled", "added"])
    def test_of_events_names_the_first_bad_row(self, sealer, small_parts, tmp_path, what):
        append_all(*(played(now=at_minute(minute)) for minute in range(9)))
        made = export(tmp_path / "b", from_at=at_minute(0))
        first = checked(made).ranges[0][0]
        path = made / "events/000002.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        if what == "changed":
            lines[1] = lines[1].replace("coaching", "training")
        elif what == "removed":
            del lines[1]
        elif what == "swapped":
            lines[1], lines[2] = lines[2], lines[1]
        elif what == "doubled":
            lines.insert(1, lines[0])
        else:
            lines.insert(1, '{"ts":"2026-05-10T12:00:00.000000Z"}\n')
        path.write_text("".join(lines))

        with pytest.raises(verify.Tampered) as told:
            checked(made)

        place = first + 4 + 1
        assert (
            str(told.value)
            .splitlines()[0]
            .startswith(f"events/000002.jsonl, line 2 (place {place} of the log):")
        )

    def test_of_a_whole_file_is_found_though_manifest_and_hashes_fit(self, sealer, tmp_path):
        """Somebody without the key makes everything fit but what the log has sealed."""
        append_all(*(played(now=at_minute(minute)) for minute in range(9)))
        made = export(tmp_path / "b", from_at=at_minute(0))
        path, leaves = made / "events/000001.jsonl", made / "events/000001.leaves"
        lines = path.read_text().replace("coaching", "training").splitlines()
        path.write_text("".join(f"{line}\n" for line in lines))
        leaves.write_bytes(b"".join(verify.leaf_hash(line.encode()) for line in lines))
        manifest = json.loads((made / "manifest.json").read_text())
        for entry in manifest["files"]:
            entry.update(building._entry(entry["path"], (made / entry["path"]).read_bytes()))
        (made / "manifest.json").write_text(json.dumps(manifest))

        with pytest.raises(verify.Tampered, match="not those of the log"):
            checked(made)

    def test_of_what_was_asked_for_is_found(self, sealer, tmp_path):
        append_all(*(played(now=at_minute(minute)) for minute in range(3)))
        made = export(tmp_path / "b", from_at=at_minute(0))
        manifest = made / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"is_all": true', '"is_all": false'))

        with pytest.raises(verify.Tampered, match="manifest is not the one"):
            checked(made)

    def test_a_missing_file_is_named(self, sealer, tmp_path):
        made = export(tmp_path / "b")
        for name in ("events/000001.jsonl", "proof.txt", "bundle.tlog-proof", "checkpoint.txt"):
            kept = (made / name).read_bytes()
            (made / name).unlink()
            with pytest.raises(verify.Incomplete, match=name):
                checked(made)
            (made / name).write_bytes(kept)

    def test_one_more_file_is_named(self, sealer, tmp_path):
        made = export(tmp_path / "b")
        (made / "more.txt").write_text("I was not exported.")

        with pytest.raises(verify.Tampered, match=r"more\.txt"):
            checked(made)


class TestZip:
    def make(self, tmp_path, **wanted) -> Path:
        pieces = to_zip(
            wanted=queries.Filter(logs=[None], **wanted),
            form=Format.CSV,
            actor=ACTOR,
            now=clock.now(),
        )
        path = tmp_path / "b.zip"
        path.write_bytes(b"".join(pieces))
        return path

    def test_is_the_same_bundle_in_one_file(self, sealer, small_parts, tmp_path):
        append_all(*(played(now=at_minute(minute)) for minute in range(9)))

        made = self.make(tmp_path, from_at=at_minute(0))

        assert checked(made, jobs=2).events >= 9

    def test_a_flipped_byte_is_found_or_changes_nothing_in_it(self, sealer, tmp_path):
        append_all(*(played(now=at_minute(minute)) for minute in range(3)))
        made = self.make(tmp_path, from_at=at_minute(0))
        whole = made.read_bytes()
        with zipfile.ZipFile(made) as opened:
            content = {name: opened.read(name) for name in opened.namelist()}
        rng = random.Random(1)

        harmless = 0
        for at in [*range(40), *(rng.randrange(len(whole)) for _ in range(250))]:
            mutant = bytearray(whole)
            mutant[at] ^= 1 << rng.randrange(8)
            made.write_bytes(mutant)
            try:
                checked(made)
            except (verify.Tampered, verify.Incomplete):
                continue
            harmless += 1
            with zipfile.ZipFile(made) as opened:
                assert {name: opened.read(name) for name in opened.namelist()} == content
        assert harmless < 60

    def test_tells_when_the_sealer_did_not_come_at_the_end(self, tmp_path, monkeypatch):
        with sealed_meanwhile(tmp_path / "seal-keys"):
            pieces = to_zip(
                wanted=queries.Filter(logs=[None]), form=Format.JSONL, actor=ACTOR, now=clock.now()
            )
        monkeypatch.setattr(exporting, "PATIENCE_SECONDS", 0.2)
        path = tmp_path / "b.zip"
        path.write_bytes(b"".join(pieces))

        with pytest.raises(verify.Incomplete, match=r"bundle\.tlog-proof is missing"):
            checked(path)


class TestMemory:
    def test_stays_flat_however_long_it_is(self, sealer, tmp_path, monkeypatch):
        monkeypatch.setattr(building, "EVENTS_PER_PART", 500)
        monkeypatch.setattr(exporting, "PATIENCE_SECONDS", 120.0)
        append_all(*(played(now=at_minute(1)) for _ in range(2000)))
        run(
            "INSERT INTO audit_event (log, about_conversation, body) "
            "SELECT log, about_conversation, body FROM audit_event, generate_series(1, 6)"
        )

        tracemalloc.start()
        made = export(tmp_path / "b", Format.CSV)
        _now, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        size = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
        assert size > 9_000_000
        assert most < 6_000_000


class TestLogged:
    def test_before_the_first_byte_and_again_when_complete(self, sealer, tmp_path):
        export(tmp_path / "b", Format.CSV)

        begun = Event.objects.get(event_type=EventType.AUDIT_EXPORTED)
        ended = Event.objects.get(event_type=EventType.BUNDLE_COMPLETED)
        assert json.loads(begun.body)["x"]["format"] == "csv"
        assert json.loads(ended.body)["x"]["export"] == str(begun.event_id)
        assert begun.id < ended.id

    def test_or_nothing_is_given(self, sealer, acting_as, tmp_path):
        run("REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_web")

        with acting_as("web"), pytest.raises(AuditUnavailable):
            to_zip(
                wanted=queries.Filter(logs=[None]), form=Format.JSONL, actor=ACTOR, now=clock.now()
            )

    def test_as_the_web_itself_may(self, sealer, acting_as, tmp_path):
        append_all(signed_in())
        path = tmp_path / "b.zip"
        with acting_as("web"):
            path.write_bytes(
                b"".join(
                    to_zip(
                        wanted=queries.Filter(logs=[None]),
                        form=Format.PARQUET,
                        actor=ACTOR,
                        now=clock.now(),
                    )
                )
            )

        assert checked(path).events >= 2

    def test_without_a_sealer_it_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(exporting, "PATIENCE_SECONDS", 0.2)

        with pytest.raises(proofs.NotSealed):
            export(tmp_path / "b")


class TestGoingOn:
    def test_after_a_kill_writes_the_rest_and_it_is_the_same(self, sealer, small_parts, tmp_path):
        append_all(*(played(now=at_minute(minute)) for minute in range(30)))
        target = tmp_path / "b"
        wanted = queries.Filter(logs=[None], from_at=at_minute(0))

        def steps():
            return to_folder(
                target=target, wanted=wanted, form=Format.CSV, actor=ACTOR, now=clock.now()
            )

        for stop in (1, 2, 4):
            going = steps()
            for _ in range(stop):
                next(going)
            going.close()
            (target.with_name("b.part") / "events/000099.jsonl.draft").write_text("torn")
        append_all(played(now=at_minute(31)))
        done = list(steps())[-1]

        assert checked(target).events == done.events
        assert Event.objects.filter(event_type=EventType.AUDIT_EXPORTED).count() == 1
        assert len({body["id"] for body in events_in(target)}) == done.events
        assert not target.with_name("b.part").exists()

    def test_but_not_with_another_question(self, sealer, small_parts, tmp_path):
        append_all(*(played(now=at_minute(minute)) for minute in range(9)))
        going = to_folder(
            target=tmp_path / "b",
            wanted=queries.Filter(logs=[None]),
            form=Format.JSONL,
            actor=ACTOR,
            now=clock.now(),
        )
        next(going)
        going.close()

        with pytest.raises(FolderBegun):
            export(tmp_path / "b", actor=ACTOR.reference)

    def test_what_is_finished_is_not_written_over(self, sealer, tmp_path):
        export(tmp_path / "b")

        with pytest.raises(FolderBegun):
            export(tmp_path / "b")


class TestChain:
    def test_the_next_continues_the_one_before(self, sealer, tmp_path):
        made = []
        for number in range(3):
            append_all(*(signed_in() for _ in range(5)))
            made.append(export(tmp_path / str(number)))
        bundles = [checked(path) for path in made]

        assert verify.check_chain(bundles) == []
        with pytest.raises(verify.Tampered, match="forked"):
            verify.check_chain(
                [bundles[0], bundles[0]._replace(head=bundles[0].head._replace(root=bytes(32)))]
            )

    def test_a_gap_is_told(self, sealer, tmp_path):
        append_all(signed_in(now=at_minute(1)))
        first = export(tmp_path / "1", until_at=at_minute(2))
        append_all(*(signed_in(now=at_minute(minute)) for minute in (3, 4, 5, 6)))
        second = export(tmp_path / "2", from_at=at_minute(6), until_at=at_minute(7))

        (note,) = verify.check_chain([checked(second), checked(first)])

        assert "events of the log are in neither" in note


class TestAnchors:
    def test_every_head_on_the_way_is_compared(self, sealer, tmp_path):
        made = []
        for number in range(4):
            append_all(*(signed_in() for _ in range(3)))
            made.append(export(tmp_path / str(number)))
        notes = [(bundle / "checkpoint.txt").read_text() for bundle in made]

        found = checked(made[-1], anchors=notes)

        assert found.anchors == 4
        assert found.notes == []

    def test_one_of_another_history_is_found(self, sealer, tmp_path):
        append_all(*(signed_in() for _ in range(3)))
        made = export(tmp_path / "b")
        head = checked(made).head
        forked = Checkpoint(head.origin, head.size - 2, bytes(32)).signed(sealer.current())

        with pytest.raises(verify.Tampered, match="rewritten"):
            checked(made, anchors=[forked])


class TestFile:
    def test_alone_checks_a_bundle(self, sealer, small_parts, tmp_path):
        append_all(*(played(now=at_minute(minute)) for minute in range(9)))
        made = export(tmp_path / "b", from_at=at_minute(0))
        (tmp_path / "keys.txt").write_text("\n".join(trusted()))
        command = [sys.executable, "-I", str(made / "verify.py"), str(made)]
        command += ["--key", str(tmp_path / "keys.txt"), "--jobs", "2"]

        intact = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        shutil.copy(made / "events/000001.jsonl", made / "events/000002.jsonl")
        broken = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

        assert (intact.returncode, broken.returncode) == (0, 1)
        assert "all that lie at places" in intact.stdout
        assert "TAMPERED: events/000002.jsonl, line 1" in broken.stderr


class TestProof:
    def test_of_an_event_is_checked_elsewhere(self, sealer, tmp_path):
        event = happened(signed_in())
        export(tmp_path / "b")

        text = proofs.prove(event_id=event.event_id)

        _head, proof = verify.check_proof(text, trusted())
        assert proof.extra.decode() == event.body
        assert proof.leaf_index == Leaf.objects.get(event=event.id).leaf_index

    def test_of_heads_is_checked_elsewhere(self, sealer, tmp_path):
        happened(signed_in())
        first = checked(export(tmp_path / "1")).head
        happened(signed_in())
        export(tmp_path / "2")

        said = proofs.consistency(log=LOG, earlier=first.size)

        earlier, later = (verify.open_note(said[name], trusted()) for name in ("earlier", "later"))
        steps = [verify.decode(step) for step in said["proof"]]
        verify.check_consistency(earlier.size, later.size, steps, earlier.root, later.root)
        with pytest.raises(proofs.UnknownHead):
            proofs.consistency(log=LOG, earlier=10_000)

    def test_of_what_is_not_there(self, sealer):
        with pytest.raises(proofs.UnknownEvent):
            proofs.prove(event_id=uuid4())
