"""Capture of what others have made: every well-formed file rightly, every other in quarantine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from recordings.models import Conversation, Dialog, QuarantinedItem, StoredObject
from tests.factories import Centre, rule, sound_of
from tests.harness.commands import Done, manage
from tests.harness.visitors import Visitor
from tests.laws.corpus import CORPUS, calls, manifest_over, needs_corpus, our_manifest

pytestmark = needs_corpus

# What `../shared/corpus/vcon` holds that can be captured: duration, rate and channels, or a chat.
VCONS = {
    "019f155a-5131-80ec-b9a2-279e0d16bc46": (4.72, 8000, 1),  # ietf/ab_call_int_rec.vcon
    "019f15a6-ba37-8ed3-b9a2-279e0d16bc46": None,  # ietf/ab_email_prob_followup_text_thread.vcon
    "01855517-ac4e-8edf-84fd-77776666acbe": (1.486, 44100, 1),  # py-vcon/hello.vcon
}


PLAYED = {
    *("audio/wav", "audio/x-wav", "audio/mpeg", "audio/ogg", "audio/webm"),
    *("audio/mp4", "audio/flac", "audio/aac"),
}


def capture(centre: Centre, path: Path) -> Done:
    """Take in what lies there, as an operator does; Claims serve what names no team."""
    centre.pbx.default_team = centre.claims
    centre.pbx.save()
    return manage(centre.stage, "capture", str(path), "--source", "pbx", "--json", role="work")


def is_near(found: float | None, told: float) -> bool:
    return found is not None and abs(found - told) <= max(0.1, 0.005 * told)


class TestCalls:
    def test_are_captured_rightly_and_once_and_heard(
        self, centre: Centre, tmp_path: Path, signed_in: Callable
    ):
        rule(centre.vakka, centre.coaching, centre.olga, months=60)  # the corpus grows older
        told = {call["id"]: call for call in calls()}
        manifest = our_manifest(tmp_path / "calls")

        done = capture(centre, manifest)

        assert done.code == 0, done.printed
        assert done.answer["captured"] == 20
        found = {one.external_id: sound_of(one) for one in Conversation.objects.all()}
        assert found.keys() == told.keys()
        for name, sound in found.items():
            assert is_near(sound.duration_seconds, told[name]["duration"]), name
            assert (sound.sample_rate, sound.channels) == (
                told[name]["sample_rate"],
                told[name]["channels"],
            ), name
        self.assert_again_brings_nothing_new(centre, manifest)
        self.assert_heard_in_a_form_that_browsers_play(signed_in(centre.alice))

    def assert_again_brings_nothing_new(self, centre: Centre, manifest: Path) -> None:
        before = set(StoredObject.objects.values_list("pk", "version_id"))

        again = capture(centre, manifest)

        assert again.code == 0
        assert (again.answer["captured"], again.answer["unchanged"]) == (0, 20)
        assert set(StoredObject.objects.values_list("pk", "version_id")) == before

    def assert_heard_in_a_form_that_browsers_play(self, alice: Visitor) -> None:
        for sound in Dialog.objects.filter(kind="recording"):
            answer = alice.listen(sound.pk, bytes_range="bytes=0-1023")

            assert answer.status == 206
            assert answer.headers["Content-Type"].split(";")[0] in PLAYED, sound.codec


class TestVcons:
    def test_are_captured_or_quarantined_with_a_reason(self, centre: Centre):
        files = sum(path.is_file() for path in (CORPUS / "vcon").rglob("*"))

        done = capture(centre, CORPUS / "vcon")

        assert done.code == 1
        assert (done.answer["captured"], done.answer["quarantined"]) == (3, files - 3)
        found = {one.external_id: one for one in Conversation.objects.all()}
        assert found.keys() == VCONS.keys()
        for name, sound in VCONS.items():
            dialog = found[name].dialogs.first()
            assert dialog is not None
            if sound is None:
                assert (found[name].kind, dialog.kind) == ("chat", "text")
                continue
            assert is_near(dialog.duration_seconds, sound[0])
            assert (dialog.sample_rate, dialog.channels) == sound[1:]
        reasons = [one["reason"] for one in done.answer["reasons"]]
        assert all(reason.endswith(".") for reason in reasons)
        for word in ("signed", "encrypted", "URL", "redacted", "no dialog"):
            assert len([reason for reason in reasons if word in reason]) == 1, word
        assert not QuarantinedItem.objects.filter(reason="").exists()

    def test_again_brings_nothing_new(self, centre: Centre):
        capture(centre, CORPUS / "vcon")
        waiting = QuarantinedItem.objects.count()

        again = capture(centre, CORPUS / "vcon")

        assert (again.answer["captured"], again.answer["unchanged"]) == (0, 3)
        assert QuarantinedItem.objects.count() == waiting


class TestHostile:
    def test_none_of_it_is_captured_and_all_of_it_waits(self, centre: Centre):
        files = [path for path in (CORPUS / "hostile").rglob("*") if path.is_file()]

        done = capture(centre, CORPUS / "hostile")

        assert done.code == 1
        assert "Traceback" not in done.printed
        assert (done.answer["captured"], done.answer["quarantined"]) == (0, len(files))
        assert not Dialog.objects.exists()
        different = {path.read_bytes() for path in files}
        assert QuarantinedItem.objects.count() >= len(different) - 1

    def test_named_as_recordings_it_is_played_only_where_it_can_be_decoded(
        self, centre: Centre, tmp_path: Path, signed_in: Callable
    ):
        files = sorted(path for path in (CORPUS / "hostile" / "audio").rglob("*") if path.is_file())

        done = capture(centre, manifest_over(files, tmp_path / "hostile"))

        assert "Traceback" not in done.printed
        assert done.answer["captured"] + done.answer["quarantined"] == len(files)
        captured = Dialog.objects.filter(kind="recording")
        assert captured.count() == done.answer["captured"]
        assert not captured.filter(duration_seconds=None).exists()
        assert not captured.filter(duration_seconds__lte=0).exists()
        assert len(done.answer["reasons"]) == done.answer["quarantined"]
