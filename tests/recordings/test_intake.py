"""Intake: folders as they come, and the command that takes them in."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from audit import clock
from recordings.models import Conversation, QuarantinedItem
from recordings.objectstore import ObjectStore
from recordings.operations.intake import LINK, UNNAMED, Outcome, Tools, files_at, take_in
from tests.factories import Centre, tones
from tests.harness.faults import log_refused
from tests.recordings import deliveries
from tests.recordings.deliveries import line, manifest, vcon


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Path]:
    """A folder with the one recording that lines name unless told."""
    folder = tmp_path / "spool"
    folder.mkdir()
    (folder / "call.wav").write_bytes(tones(2.0))
    with override_settings(CAPTURE_WORK_DIR=tmp_path / "work"):
        yield folder
    assert not list((tmp_path / "work").glob("*"))


def intake(centre: Centre, *paths: Path) -> list[Outcome]:
    with centre.stage.acting_as("work"):
        tools = Tools(
            source=centre.pbx,
            store=ObjectStore.for_content(),
            keyring=centre.keyring(),
            clock=clock.now,
        )
        return list(take_in(paths=paths, tools=tools))


def outcomes(found: list[Outcome]) -> dict[str, str]:
    return {one.name: one.captured.outcome if one.captured else str(one.reason) for one in found}


class TestTakeIn:
    def test_a_folder_with_a_manifest_and_files_that_it_does_not_name(
        self, centre: Centre, spool: Path
    ):
        manifest(spool, line("a"))
        (spool / "stray.wav").write_bytes(tones(1.0))
        (spool / "notes.txt").write_text("ring her back")
        (spool / "deeper").mkdir()
        vcon(spool / "deeper" / "b.vcon.json", deliveries.mono())

        found = outcomes(intake(centre, spool))

        assert found == {
            "manifest.jsonl:1": "captured",
            "b.vcon.json": "captured",
            "stray.wav": UNNAMED,
            "notes.txt": UNNAMED,
        }
        assert Conversation.objects.count() == 2
        assert QuarantinedItem.objects.count() == 2

    def test_a_second_time_nothing_is_new(self, centre: Centre, spool: Path):
        manifest(spool, line("a"), "no JSON")
        (spool / "stray.wav").write_bytes(tones(1.0))
        first = intake(centre, spool)

        second = intake(centre, spool)

        assert [one.reason for one in second] == [one.reason for one in first]
        assert outcomes(second)["manifest.jsonl:1"] == "unchanged"
        assert (Conversation.objects.count(), QuarantinedItem.objects.count()) == (1, 2)

    def test_a_bad_line_spoils_no_other(self, centre: Centre, spool: Path):
        (spool / "empty.wav").write_bytes(b"")
        manifest(
            spool,
            "{",
            line("a"),
            line("b", team="nobodys"),
            line("c", files=[{"path": "empty.wav"}]),
            line("d", files=[{"path": "../call.wav"}]),
            line("e", files=[{"path": "gone.wav"}]),
            line("f", controller="onni"),
            "\x00",
            line("g"),
        )

        found = outcomes(intake(centre, spool))

        assert found["manifest.jsonl:2"] == found["manifest.jsonl:9"] == "captured"
        assert Conversation.objects.count() == 2
        refused = [name for name, reason in found.items() if reason != "captured"]
        assert refused == [f"manifest.jsonl:{number}" for number in (1, 3, 4, 5, 6, 7, 8)]
        # Each line, and the recordings that those lines name and that are there.
        assert QuarantinedItem.objects.count() == 7 + 3

    def test_no_reason_says_what_the_line_says(self, centre: Centre, spool: Path):
        marker = "Outi-Olematon"
        manifest(
            spool,
            line("a", team=marker.lower()),
            line("b", files=[{"path": f"{marker}.wav"}]),
            line("c", subject=7, tel=marker),
            f'{{"id": "{marker}',
        )

        reasons = [str(one.reason) for one in intake(centre, spool)]

        assert len(reasons) == 4
        assert not [reason for reason in reasons if marker.lower() in reason.lower()]
        assert all(reason.endswith(".") for reason in reasons)

    def test_differing_content_waits_and_the_first_stays(self, centre: Centre, spool: Path):
        manifest(spool, line("a"))
        intake(centre, spool)
        (spool / "call.wav").write_bytes(tones(2.0)[:-2] + b"\1\1")

        (found,) = intake(centre, spool)

        assert "Another content was captured under the same identifier" in str(found.reason)
        assert Conversation.objects.count() == 1
        assert QuarantinedItem.objects.count() == 2  # the line and its recording

    def test_twice_in_one_delivery_out_of_order_is_captured_once(self, centre: Centre, spool: Path):
        names = [f"call-{number}" for number in range(5)]
        manifest(spool, *[line(name) for name in (*names, *names[::-1])])

        found = [one.captured for one in intake(centre, spool)]

        assert [one.outcome for one in found if one] == ["captured"] * 5 + ["unchanged"] * 5
        assert Conversation.objects.count() == 5

    def test_a_file_named_twice_on_the_way_is_taken_once(self, spool: Path):
        assert files_at([spool, spool / "call.wav", spool]) == [spool / "call.wav"]

    def test_a_link_is_not_followed(self, centre: Centre, spool: Path, tmp_path: Path):
        (tmp_path / "elsewhere.vcon.json").write_bytes(b"")
        vcon(tmp_path / "elsewhere.vcon.json", deliveries.mono())
        (spool / "call.wav").unlink()
        (spool / "link.vcon.json").symlink_to(tmp_path / "elsewhere.vcon.json")
        (spool / "folder").symlink_to(tmp_path)

        found = intake(centre, spool)

        assert not [one for one in found if one.captured]
        assert {one.reason for one in found} == {LINK}
        assert not Conversation.objects.exists()

    def test_a_file_that_cannot_be_read_is_named(self, centre: Centre, spool: Path):
        found = outcomes(intake(centre, spool / "never-was.wav"))

        assert found == {"never-was.wav": "The file cannot be read."}


class Run:
    """What the command said, and with which code it ended."""

    def __init__(self, centre: Centre, *arguments: Any, **options: Any) -> None:
        out, err = io.StringIO(), io.StringIO()
        self.code, self.refusal = 0, ""
        with centre.stage.acting_as("work"):
            try:
                call_command("capture", *map(str, arguments), stdout=out, stderr=err, **options)
            except SystemExit as ended:
                self.code = int(str(ended.code))
            except CommandError as refused:
                self.code, self.refusal = refused.returncode, str(refused)
        self.out, self.err = out.getvalue(), err.getvalue()


def said(captured: int, known: int, waiting: int, refused: int = 0) -> str:
    return (
        f"{captured} captured, {known} known already, {waiting} in quarantine, {refused} refused.\n"
    )


class TestCommand:
    def test_ends_with_0_when_all_is_captured_and_says_how_much(
        self, centre: Centre, spool: Path, capfd: pytest.CaptureFixture[str]
    ):
        manifest(spool, line("a"), line("b"))

        first, second = (Run(centre, spool, source="pbx") for _ in range(2))

        assert (first.code, first.out) == (
            0,
            "2 captured, 0 known already, 0 in quarantine, 0 refused.\n",
        )
        assert (second.code, second.out) == (
            0,
            "0 captured, 2 known already, 0 in quarantine, 0 refused.\n",
        )
        # No terminal, no progress bar.
        assert first.err == second.err == ""
        assert "conversations" not in capfd.readouterr().err

    def test_ends_with_1_when_something_waits_and_says_why_line_by_line(
        self, centre: Centre, spool: Path
    ):
        manifest(spool, line("a"), line("b", team="nobodys"))
        (spool / "stray.wav").write_bytes(tones(1.0))

        run = Run(centre, spool, source="pbx")

        assert (run.code, run.out) == (
            1,
            "1 captured, 0 known already, 2 in quarantine, 0 refused.\n",
        )
        # Names can hold telephone numbers: where it is not a person who reads, items are named.
        items = {item.reason: item.pk for item in QuarantinedItem.objects.all()}
        assert run.err.splitlines() == [
            f"{items[reason]}: {reason}"
            for reason in ("A team that is named is not known here.", UNNAMED)
        ]

    def test_ends_with_1_for_what_was_destroyed_before_and_stores_nothing_of_it(
        self, centre: Centre, spool: Path
    ):
        manifest(spool, line("a"))
        Run(centre, spool, source="pbx")
        Conversation.objects.update(state="withdrawn", withdrawn_at=clock.now())

        run = Run(centre, spool, source="pbx")

        assert (run.code, run.out) == (1, said(0, 0, 0, refused=1))
        assert not QuarantinedItem.objects.exists()

    def test_says_what_a_captured_file_holds_besides(self, centre: Centre, spool: Path):
        (spool / "call.wav").unlink()
        vcon(spool / "a.vcon.json", deliveries.mono(), analysis=[{"type": "transcript"}])

        run = Run(centre, spool, source="pbx")

        assert run.code == 0
        assert len(run.err.splitlines()) == 1
        assert "captured without its" in run.err

    @pytest.mark.parametrize("has_bad_line", [False, True])
    def test_as_json_says_everything_in_one_object(
        self, centre: Centre, spool: Path, has_bad_line: bool
    ):
        manifest(spool, line("a"), *(["{"] if has_bad_line else []))

        run = Run(centre, spool, source="pbx", json=True)

        told = json.loads(run.out)
        assert run.code == int(has_bad_line)
        assert (told["captured"], told["unchanged"]) == (1, 0)
        assert told["quarantined"] == len(told["reasons"]) == int(has_bad_line)
        assert run.err == ""

    def test_ends_with_2_for_wrong_use(self, centre: Centre, spool: Path):
        for arguments, source, sentence in (
            ([spool / "nowhere"], "pbx", "There is nothing at"),
            ([spool], "nobodys", "No source is called nobodys; known are: onnipbx, pbx."),
        ):
            run = Run(centre, *arguments, source=source)

            assert run.code == 2
            assert sentence in run.refusal
        assert not Conversation.objects.exists()

    def test_ends_with_2_when_it_cannot_be_logged_and_goes_on_later(
        self, centre: Centre, spool: Path
    ):
        manifest(spool, line("a"))

        with log_refused(centre.stage):
            stopped = Run(centre, spool, source="pbx")

        assert stopped.code == 2
        assert stopped.refusal.endswith("run the command again.")
        assert not Conversation.objects.exists()
        assert Run(centre, spool, source="pbx").code == 0

    def test_ends_with_2_without_keys_or_store(self, centre: Centre, spool: Path):
        manifest(spool, line("a"))

        with centre.stage.acting_as("purge"), pytest.raises(CommandError) as refused:
            call_command("capture", str(spool), source="pbx")

        assert refused.value.returncode == 2
        assert not Conversation.objects.exists()

    def test_takes_the_corpus_of_well_formed_vcons_or_says_why_not(
        self, centre: Centre, spool: Path
    ):
        (spool / "call.wav").unlink()
        shutil.copytree(Path(__file__).parents[1] / "samples" / "vcon", spool, dirs_exist_ok=True)

        first = Run(centre, spool, source="pbx", json=True)
        again = json.loads(Run(centre, spool, source="pbx", json=True).out)

        told = json.loads(first.out)
        assert told["captured"] + told["quarantined"] == len(list(spool.iterdir()))
        assert (again["captured"], again["unchanged"]) == (0, told["captured"])
        assert again["reasons"] == told["reasons"]
