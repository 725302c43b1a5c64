"""Capturing: once and for ever, encrypted before it leaves, and whole or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, connections
from django.test import override_settings

from accounts.models import PrivacyNotice, Queue
from audit import clock
from audit.models import Event
from audit.operations import AuditUnavailable
from recordings import media
from recordings.content_keys import content_key, dialog_name, party_details, rendition_body
from recordings.encryption import ContentAltered, decrypt_bytes
from recordings.formats.incoming import CannotCapture, IncomingParty, IncomingSegment
from recordings.formats.vcon import read_vcon
from recordings.media import peaks_by_channel
from recordings.models import (
    Conversation,
    DataSubject,
    Dialog,
    QuarantinedItem,
    Rendition,
    StoredObject,
)
from recordings.objectstore import ObjectStore, StoreUnavailable
from recordings.operations import workdir
from recordings.operations.capture import ContentDiffers, DestroyedBefore
from tests.factories import CUSTOMER, Centre, sound_of, tones
from tests.harness.faults import log_refused
from tests.harness.roles import Stage
from tests.harness.session import ROOT
from tests.recordings import deliveries
from tests.recordings.deliveries import BEGAN, call, chat, gsm, sound, take

START_SECONDS = 60.0


@pytest.fixture(autouse=True)
def work_dir(tmp_path: Path) -> Iterator[Path]:
    """Where recordings lie in clear while they are examined: empty again after every test."""
    folder = tmp_path / "work"
    with override_settings(CAPTURE_WORK_DIR=folder):
        yield folder
    assert not folder.exists() or not list(folder.iterdir())


def key_of(centre: Centre, conversation: Conversation) -> bytes:
    return content_key(conversation=conversation, keyring=centre.keyring())


def plain(centre: Centre, stored: StoredObject, object_id) -> bytes:
    """Read back what lies in the store."""
    with centre.stage.acting_as("work"):
        ciphertext = ObjectStore.for_content().get(stored.key, stored.version_id)
    assert hashlib.sha256(ciphertext).digest() == bytes(stored.ciphertext_sha256)
    assert len(ciphertext) == stored.stored_size_bytes
    return decrypt_bytes(
        ciphertext, key=key_of(centre, stored.conversation), associated_data=object_id.bytes
    )


def assert_nothing_is_captured() -> None:
    for model in (Conversation, Dialog, Rendition, StoredObject, DataSubject):
        assert not model._default_manager.exists(), model
    assert not Event.objects.filter(event_type="conversation.captured").exists()


class TestCapture:
    def test_stores_the_recording_encrypted_and_says_so_in_the_log(self, centre: Centre):
        incoming = call(sound())

        done = take(centre, incoming)

        assert done.outcome == "captured"
        conversation = Conversation.objects.get(pk=done.conversation_id)
        dialog = sound_of(conversation)
        assert plain(centre, dialog.stored_object, dialog.pk) == incoming.files[0].body
        assert (dialog.channels, dialog.sample_rate, dialog.codec) == (2, 8000, "pcm_s16le")
        assert dialog.channel_roles == ["agent", "customer"]
        assert dialog.duration_seconds == pytest.approx(2.0)
        assert conversation.duration_seconds == pytest.approx(2.0)
        key = key_of(centre, conversation)
        assert dialog_name(dialog=dialog, key=key) == "call.wav"
        customer = conversation.parties.get(role="customer")
        assert party_details(party=customer, key=key) == {
            "name": CUSTOMER.name,
            "identifiers": [["tel", "+358900001001"]],
        }
        event = Event.objects.get(event_type="conversation.captured")
        assert (event.actor, event.log) == ("system:capture", str(centre.vakka.pk))
        assert (event.target, event.subject) == (str(conversation.pk), customer.data_subject_id)

    def test_seals_the_waveform_under_the_key_and_the_row_it_belongs_to(self, centre: Centre):
        conversation = Conversation.objects.get(pk=take(centre, call()).conversation_id)
        peaks = Rendition.objects.get(dialog__conversation=conversation, kind="peaks")
        key = key_of(centre, conversation)

        body = rendition_body(rendition=peaks, key=key)

        assert len(peaks_by_channel(body)) == 2
        assert max(peaks_by_channel(body)[0]) > 0.2
        assert body[:64] not in bytes(peaks.sealed_body or b"")
        with pytest.raises(ContentAltered):
            decrypt_bytes(
                bytes(peaks.sealed_body or b""),
                key=key,
                associated_data=sound_of(conversation).pk.bytes,
            )

    def test_makes_a_rendition_of_what_no_browser_plays_and_keeps_the_original(
        self, centre: Centre
    ):
        conversation = Conversation.objects.get(pk=take(centre, call(gsm())).conversation_id)

        dialog = sound_of(conversation)
        assert plain(centre, dialog.stored_object, dialog.pk) == deliveries.GSM
        assert (dialog.codec, dialog.sample_rate, dialog.channels) == ("gsm", 8000, 1)
        playable = dialog.renditions.get(kind="playable")
        assert playable.stored_object is not None
        heard = plain(centre, playable.stored_object, playable.pk)
        assert playable.mediatype.startswith("audio/")
        assert len(heard) > 100
        assert heard != deliveries.GSM

    def test_keeps_a_chat_message_by_message(self, centre: Centre, signed_in: Callable):
        done = take(centre, replace(chat("Hei!", "Mitä <b>kuuluu</b>?"), segments=()))

        conversation = Conversation.objects.get(pk=done.conversation_id)
        assert (conversation.kind, conversation.message_count) == ("chat", 2)
        dialog = conversation.dialogs.get()
        said = plain(centre, dialog.stored_object, dialog.pk).decode()
        assert "Mitä <b>kuuluu</b>?" in said

    def test_of_mono_does_not_guess_who_is_heard(self, centre: Centre):
        mono = sound(deliveries.mono(), is_channel_map_certain=False)

        done = take(centre, call(mono))

        dialog = sound_of(Conversation.objects.get(pk=done.conversation_id))
        assert (dialog.channels, dialog.channel_roles) == (1, [])

    def test_of_a_vcon_without_an_end_takes_the_end_of_its_recording(
        self, centre: Centre, tmp_path: Path
    ):
        incoming = read_vcon(deliveries.vcon(tmp_path / "a.vcon.json", deliveries.mono(3.0)))
        assert incoming.is_end_open

        done = take(centre, incoming)

        conversation = Conversation.objects.get(pk=done.conversation_id)
        assert conversation.ended_at == BEGAN + timedelta(seconds=3)
        assert sound_of(conversation).stored_object.key.startswith("2026/03/02/")
        assert take(centre, incoming).outcome == "unchanged"

    def test_goes_to_the_default_team_when_none_is_named(self, centre: Centre):
        type(centre.pbx).objects.filter(pk=centre.pbx.pk).update(default_team=centre.sales)

        done = take(centre, call())

        conversation = Conversation.objects.get(pk=done.conversation_id)
        assert [one.team for one in conversation.segments.all()] == [centre.sales]

    def test_knows_one_customer_again_by_a_reference_that_says_nothing(self, centre: Centre):
        take(centre, call())
        take(centre, call())
        take(centre, call(), by=centre.onni_pbx)

        # Once for each company: they do not learn of each other's customers.
        subjects = DataSubject.objects.order_by("controller__name")
        assert [one.controller for one in subjects] == [centre.onni, centre.vakka]
        assert len({bytes(one.identifier_hash) for one in subjects}) == 2

    def test_keeps_what_rules_ask_for_and_of_numbers_only_hashes(self, centre: Centre):
        said: dict[str, Any] = {
            "outcome": "sale",
            "references": (("claim", "K-4711"), ("claim", "k- 4711"), ("contract", "K-4711")),
        }

        done = take(centre, call(**said))

        conversation = Conversation.objects.get(pk=done.conversation_id)
        kinds = sorted(reference.kind for reference in conversation.references.all())
        assert (conversation.outcome, kinds) == ("sale", ["claim", "contract"])
        assert len({bytes(one.reference_hash) for one in conversation.references.all()}) == 2

    def test_takes_the_notice_in_force_when_it_began_unless_one_is_named(self, centre: Centre):
        for version, days in (("2025", -300), ("2026-03", -1), ("2026-04", 1)):
            PrivacyNotice.objects.create(
                controller=centre.vakka,
                version=version,
                in_force_from=BEGAN + timedelta(days=days),
                recorded_at=BEGAN,
            )

        captured = [
            take(centre, call()),
            take(centre, call(notice="2025")),
            take(centre, call(), by=centre.onni_pbx),
        ]

        rows = [Conversation.objects.get(pk=one.conversation_id) for one in captured]
        assert [row.notice for row in rows] == ["2026-03", "2025", ""]

    def test_leaves_nothing_in_clear_in_any_row(self, centre: Centre):
        marker = "Salaisuus-4711"
        party = IncomingParty(
            "customer", marker, identifiers=(("mailto", f"{marker}@example.com"),)
        )

        take(centre, call(sound(name=f"{marker}.wav"), subject=marker, parties=(party,)))
        take(centre, chat(marker, f"Ja {marker}", parties=(party, party)))
        take(centre, call(references=(("claim", marker),)))

        # The positive control: what a source calls the conversation is in clear while it is kept.
        take(centre, call(external_id=f"control-{marker}"))
        assert tables_with("control-") == {"recordings_conversation"}
        Conversation.objects.filter(external_id__contains=marker).update(external_id="")
        for spelled in (marker, marker.encode().hex(), marker.lower()):
            assert tables_with(spelled) == set()


def tables_with(text: str) -> set[str]:
    """Name the tables a row of which holds the text, read as a dump would show it."""
    found = set()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') "
            "AND relnamespace = 'public'::regnamespace AND NOT relispartition"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(
                f'SELECT count(*) FROM "{table}" AS t WHERE position(%s in t::text) > 0', [text]
            )
            if cursor.fetchone() != (0,):
                found.add(table)
    return found


class TestCaptureAgain:
    def test_changes_nothing(self, centre: Centre):
        incoming = call()
        first = take(centre, incoming)

        second = take(centre, incoming)

        assert (second.conversation_id, second.outcome) == (first.conversation_id, "unchanged")
        assert Conversation.objects.count() == StoredObject.objects.count() == 1
        assert Event.objects.filter(event_type="conversation.captured").count() == 1

    def test_by_another_source_is_another_conversation(self, centre: Centre):
        incoming = call()

        done = {take(centre, incoming, by=source) for source in (centre.pbx, centre.onni_pbx)}

        assert {one.outcome for one in done} == {"captured"}
        assert Conversation.objects.count() == 2

    @pytest.mark.parametrize(
        "changed",
        [
            {"files": (sound(tones(2.0)[:-4] + b"\1\1\1\1"),)},
            {"ended_at": BEGAN + timedelta(seconds=3)},
            {"parties": (CUSTOMER,)},
            {"subject": "Another."},
            {"files": (sound(), sound())},
        ],
        ids=["one sample", "end", "parties", "subject", "files"],
    )
    def test_with_another_content_is_refused_and_the_first_stays(
        self, centre: Centre, changed: dict
    ):
        incoming = call(external_id="same")
        first = take(centre, incoming)

        with pytest.raises(ContentDiffers):
            take(centre, replace(incoming, **changed))

        assert [row.pk for row in Conversation.objects.all()] == [first.conversation_id]

    @pytest.mark.parametrize("state", ["withdrawn", "destroyed"])
    def test_after_it_was_destroyed_is_refused_and_logged(self, centre: Centre, state: str):
        incoming = call()
        done = take(centre, incoming)
        at = clock.now()
        row = Conversation.objects.filter(pk=done.conversation_id)
        row.update(state="withdrawn", withdrawn_at=at)
        if state == "destroyed":
            row.update(
                state=state,
                destroyed_at=at,
                key_destroyed_at=at,
                wrapped_key=None,
                kek_name="",
                external_id="",
            )

        for again in (incoming, replace(incoming, subject="Another content.")):
            with pytest.raises(DestroyedBefore):
                take(centre, again)

        refused = Event.objects.filter(event_type="capture.refused")
        assert [event.outcome for event in refused] == ["deny", "deny"]
        assert {event.conversation for event in refused} == {done.conversation_id}
        assert '"reason":"destroyed_before"' in refused[0].body
        assert Conversation.objects.count() == 1

    def test_at_the_same_time_captures_once(self, centre: Centre):
        incoming = call()
        together = threading.Barrier(4)
        outcomes: list[str] = []

        def capture_it() -> None:
            together.wait()
            try:
                outcomes.append(deliveries.take_as_work(centre, incoming).outcome)
            finally:
                connections.close_all()

        with centre.stage.acting_as("work"):
            threads = [threading.Thread(target=capture_it) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        assert sorted(outcomes) == ["captured", "unchanged", "unchanged", "unchanged"]
        assert Conversation.objects.count() == StoredObject.objects.count() == 1


DIGEST = hashlib.sha256(tones(2.0)).hexdigest()
LONG_DIGEST = urlsafe_b64encode(hashlib.sha512(tones(2.0)).digest()).decode()


class TestCannotCapture:
    @pytest.mark.parametrize(
        ("incoming", "sentence"),
        [
            (call(controller="onni"), "not entitled"),
            (call(controller="nobody"), "not entitled"),
            (call(ended_at=BEGAN + timedelta(days=36_500)), "in the future"),
            (call(sound(b"")), "empty"),
            (call(sound(b"no sound at all" * 99)), "not a sound recording"),
            (call(sound(tones(2.0)[:30])), "."),
            (call(sound(duration_seconds=4.0)), "may have been cut"),
            (call(sound(duration_seconds=float("nan"))), "."),
            (call(sound(content_hash=f"sha256:{'0' * 64}")), "does not match"),
            (call(sound(content_hash="sha256:xyz")), "cannot be read"),
            (call(sound(content_hash="sha512-!!")), "cannot be read"),
            (call(sound(content_hash="md5:00")), "not known here"),
            (call(sound(deliveries.mono())), "other channels"),
            (call(replace(sound(), body=None, path=Path("/nowhere/call.wav"))), "cannot be read"),
            (call(sound(), sound(b"")), "empty"),
        ],
    )
    def test_says_why_in_a_sentence_and_captures_nothing(
        self, centre: Centre, incoming, sentence: str
    ):
        with pytest.raises(CannotCapture, match=sentence) as refused:
            take(centre, incoming)

        assert str(refused.value).endswith(".")
        assert_nothing_is_captured()

    @pytest.mark.parametrize(
        "declared",
        [f"sha256:{DIGEST}", f"sha512-{LONG_DIGEST}", f"sha512-{LONG_DIGEST.rstrip('=')}"],
    )
    def test_what_matches_its_declared_hash_and_duration_is_captured(
        self, centre: Centre, declared: str
    ):
        done = take(centre, call(sound(content_hash=declared, duration_seconds=2.4)))

        assert done.outcome == "captured"

    def test_an_unknown_team_or_queue_or_one_of_another_company(self, centre: Centre):
        Queue.objects.create(controller=centre.onni, name="Funds line", slug="funds-line")
        whole = centre.call().segments.get()
        for team, queue, sentence in (
            ("nobodys", None, "A team that is named is not known"),
            ("claims", "nowhere", "A queue that is named is not known"),
            ("claims", "funds-line", "A queue that is named is not known"),
        ):
            segment = IncomingSegment(whole.from_at, whole.until_at, team, queue, None)
            with pytest.raises(CannotCapture, match=sentence):
                take(centre, call(segments=(segment,)))

        assert Conversation.objects.count() == 1

    def test_more_bytes_than_the_limit(self, centre: Centre):
        incoming = call()
        size = len(incoming.files[0].body or b"")

        with (
            override_settings(CAPTURE_MAX_FILE_BYTES=size - 1),
            pytest.raises(CannotCapture, match="larger than"),
        ):
            take(centre, incoming)

        with override_settings(CAPTURE_MAX_FILE_BYTES=size):
            assert take(centre, incoming).outcome == "captured"

    @pytest.mark.parametrize("change", ["altered", "cut", "gone"])
    def test_a_file_that_changes_while_it_is_captured(
        self, centre: Centre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
    ):
        path = tmp_path / "call.wav"
        path.write_bytes(tones(2.0))

        def examined_then_changed(*args, **kwargs):
            found = media.examine(*args, **kwargs)
            if change == "gone":
                path.unlink()
            else:
                path.write_bytes(tones(2.0)[:-4] + (b"\1\1\1\1" if change == "altered" else b""))
            return found

        monkeypatch.setattr("recordings.operations.capture.examine", examined_then_changed)

        with pytest.raises(CannotCapture, match=r"changed while|cannot be read"):
            take(centre, call(replace(sound(), body=None, path=path)))

        assert_nothing_is_captured()


class TestServersDown:
    def test_the_store_is_down_and_nothing_is_captured_until_it_is_back(self, centre: Centre):
        incoming = call()

        with pytest.raises(StoreUnavailable):
            take(centre, incoming, store=deliveries.store_that_is_down())

        assert_nothing_is_captured()
        assert take(centre, incoming).outcome == "captured"

    def test_the_audit_log_is_down_and_nothing_is_captured_until_it_is_back(self, centre: Centre):
        incoming = call()

        with log_refused(centre.stage), pytest.raises(DatabaseError):
            take(centre, incoming)

        assert_nothing_is_captured()
        assert take(centre, incoming).outcome == "captured"

    def test_a_refusal_that_cannot_be_logged_is_none_that_lets_it_in(self, centre: Centre):
        incoming = call()
        done = take(centre, incoming)
        Conversation.objects.filter(pk=done.conversation_id).update(
            state="withdrawn", withdrawn_at=clock.now()
        )

        with log_refused(centre.stage), pytest.raises(AuditUnavailable):
            take(centre, incoming)

        assert Conversation.objects.count() == 1


# Runs the command, and stands still for good after the first object has been stored.
STANDS_STILL = """
import sys, time, django
django.setup()
from django.core.management import call_command
from recordings.objectstore import ObjectStore
put = ObjectStore.put
def put_and_stand_still(self, *args, **kwargs):
    version = put(self, *args, **kwargs)
    print("stored", flush=True)
    time.sleep(600)
    return version
if sys.argv[2] == "after the put":
    ObjectStore.put = put_and_stand_still
call_command("capture", sys.argv[1], source="pbx")
"""


class TestKilled:
    @pytest.mark.parametrize("place", ["after the put", "inside the commit"])
    def test_between_put_and_commit_it_is_captured_once_by_the_next_run(
        self, centre: Centre, tmp_path: Path, work_dir: Path, place: str
    ):
        folder = tmp_path / "spool"
        folder.mkdir()
        (folder / "call.gsm").write_bytes(deliveries.GSM)
        deliveries.manifest(folder, deliveries.line(files=[{"path": "call.gsm"}]))
        child = start_capture(centre.stage, folder, work_dir, place)
        if place == "after the put":
            assert child.stdout is not None
            assert child.stdout.readline() == "stored\n"
            kill(child)
            # In clear, until somebody sweeps.
            assert [path for path in work_dir.rglob("*") if path.is_file()]
        else:
            with psycopg.connect(centre.stage.environment("owner")["DATABASE_URL"]) as owner:
                owner.execute("LOCK TABLE recordings_party IN SHARE MODE")
                wait_for_a_waiter(owner, "recordings_party")
                kill(child)
        assert_nothing_is_captured()

        with centre.stage.acting_as("work"):
            for _ in range(2):
                call_command("capture", str(folder), source="pbx", json=True)

        conversation = Conversation.objects.get()
        dialog = sound_of(conversation)
        assert plain(centre, dialog.stored_object, dialog.pk) == deliveries.GSM
        assert Event.objects.filter(event_type="conversation.captured").count() == 1
        assert not QuarantinedItem.objects.exists()
        assert list(work_dir.iterdir()) == []


def start_capture(stage: Stage, folder: Path, work_dir: Path, place: str) -> subprocess.Popen[str]:
    """Capture the folder in a process of its own, as the work process."""
    return subprocess.Popen(
        [sys.executable, "-c", STANDS_STILL, str(folder), place],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "config.settings",
            **stage.environment("work"),
            "CAPTURE_WORK_DIR": str(work_dir),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def kill(child: subprocess.Popen[str]) -> None:
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(timeout=START_SECONDS) == -signal.SIGKILL
    if child.stdout is not None:
        child.stdout.close()


def wait_for_a_waiter(owner: psycopg.Connection, table: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        waiting = owner.execute(
            "SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND NOT granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [table],
        ).fetchone()
        if waiting and waiting[0]:
            return
        time.sleep(0.02)
    raise TimeoutError("Nobody came to write there.")


class TestWorkDirectory:
    def test_is_ours_alone_and_gone_afterwards_also_after_a_failure(self, work_dir: Path):
        with pytest.raises(OSError, match="disk"), workdir.work_directory() as path:
            (path / "original").write_bytes(b"said in confidence")
            assert path.stat().st_mode & 0o077 == 0
            raise OSError("disk full")

        assert list(work_dir.iterdir()) == []

    def test_sweeping_takes_what_the_dead_have_left_and_nothing_of_the_living(self, work_dir: Path):
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        left = work_dir / f"capture-{dead.pid}-abc"
        left.mkdir(parents=True)
        (left / "original").write_bytes(b"said in confidence")
        somebody_elses = work_dir / "other"
        somebody_elses.mkdir()

        with workdir.work_directory() as living:
            swept = workdir.sweep_work_directories()

            assert swept == 1
            assert living.exists()
        assert not left.exists()
        assert somebody_elses.exists()
        somebody_elses.rmdir()
