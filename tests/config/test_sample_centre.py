"""The sample contact centre: what is written, set up and captured, and that twice is once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Controller, TeamPermission, User
from audit import clock
from config.management.commands import load_sample_centre
from config.management.commands.short_lived import ending_at
from config.samples import conversations
from config.samples.centre import QUEUES, TEAMS, USERS
from config.samples.conversations import BROKEN, CALLS, CHATS, months_before, write_manifests
from config.samples.setup import set_up
from config.samples.texts import sample_texts
from recordings.formats.incoming import IncomingConversation
from recordings.formats.manifest import read_manifest
from recordings.models import Conversation, QuarantinedItem
from retention.due_dates import due_at
from retention.models import Hold, RetentionRule, RuleVersion

NOW = datetime(2026, 8, 31, 12, 0, tzinfo=UTC)
AUDIO = Path(conversations.__file__).parent / "audio"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> list[IncomingConversation]:
    """Every conversation of the manifests, none of them refused by the reader."""
    manifests = write_manifests(tmp_path_factory.mktemp("sample"), NOW, 7)
    outcomes = [read.outcome for _, path in manifests for read in read_manifest(path)]
    assert all(isinstance(outcome, IncomingConversation) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, IncomingConversation)]


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data folder of the test's own."""
    with override_settings(DATA_DIR=tmp_path):
        yield tmp_path


class TestSound:
    def test_is_small_enough_to_be_committed(self):
        assert sum(path.stat().st_size for path in AUDIO.iterdir()) < 4_000_000

    def test_is_what_its_list_says(self):
        entries = json.loads((AUDIO / "audio.json").read_text())

        assert [entry["slug"] for entry in entries] == [text.slug for text in sample_texts("calls")]
        for entry in entries:
            body = (AUDIO / entry["file"]).read_bytes()
            assert hashlib.sha256(body).hexdigest() == entry["sha256"]
            assert 20 <= entry["duration_seconds"] <= 90


class TestTexts:
    def test_have_the_length_of_a_conversation(self):
        for text in sample_texts("chats"):
            assert 6 <= len(text.turns) <= 20, text.slug
            assert {speaker for speaker, _ in text.turns} == {"agent", "customer"}


class TestManifests:
    def test_hold_what_was_promised(self, written):
        assert len(written) == CALLS + CHATS + BROKEN
        assert {found.language for found in written} == {"fi", "sv", "en"}
        assert {found.kind for found in written} == {"call", "chat"}
        teams = {segment.team for found in written for segment in found.segments}
        assert teams == {team.slug for team in TEAMS}
        queues = {segment.queue for found in written for segment in found.segments}
        assert queues == {queue.slug for queue in QUEUES} - {"demo"}

    def test_name_each_conversation_once_and_in_the_past_year(self, written):
        assert len({found.external_id for found in written}) == len(written)
        for found in written:
            assert NOW - timedelta(days=366) < found.started_at <= found.ended_at <= NOW

    def test_let_some_end_within_hours_and_days(self, written):
        half_a_year_ago = months_before(NOW, 6)
        soon = [
            found
            for found in written
            if half_a_year_ago < found.ended_at < half_a_year_ago + timedelta(days=9)
        ]

        assert len(soon) >= 10

    def test_are_the_same_again_for_the_same_time_and_seed(self, tmp_path):
        once = write_manifests(tmp_path / "a", NOW, 7)
        again = write_manifests(tmp_path / "b", NOW, 7)

        assert [path.read_bytes() for _, path in once] == [path.read_bytes() for _, path in again]


@given(
    target=st.integers(0, 63_000_000).map(lambda seconds: NOW - timedelta(seconds=seconds)),
    keep=st.sampled_from([(0, 14), (6, 0), (1, 3)]),
)
def test_the_short_lived_chat_ended_when_it_must_have(target, keep):
    zone = ZoneInfo("Europe/Helsinki")
    controller = Controller(time_zone="Europe/Helsinki")
    version = RuleVersion(
        rule=RetentionRule(controller=controller), keep_months=keep[0], keep_days=keep[1]
    )

    ended_at = ending_at(version, target)

    due = due_at(trigger_at=ended_at, months=keep[0], days=keep[1], zone=zone)
    assert abs(due - target) <= timedelta(days=3)
    if keep[0] == 0:
        assert abs(due - target) <= timedelta(hours=1)


class TestSetUp:
    def test_makes_a_login_for_each_user_and_a_second_time_nothing(self, db):
        logins = set_up(passwords={}, now=clock.now())
        passwords = {login.email: login.password for login in logins}
        counts = (User.objects.count(), TeamPermission.objects.count(), RuleVersion.objects.count())

        again = set_up(passwords=passwords, now=clock.now())

        assert len(logins) == len(USERS) + 1
        assert {login.email: login.password for login in again} == passwords
        assert counts == (
            User.objects.count(),
            TeamPermission.objects.count(),
            RuleVersion.objects.count(),
        )
        coach = User.objects.get(email="coach@tallenne.example")
        assert coach.check_password(passwords[coach.email])


class TestLoad:
    def test_captures_holds_and_the_second_time_does_nothing(
        self, stage, data_dir, monkeypatch, capsys
    ):
        for module in (conversations, load_sample_centre):
            monkeypatch.setattr(module, "CALLS", 4)
            monkeypatch.setattr(module, "CHATS", 2)
        call_command("set_up_sample_centre")
        with stage.acting_as("work"):
            call_command("load_sample_centre")
            call_command("load_sample_centre")

        assert Conversation.objects.kept().count() == 6
        assert QuarantinedItem.objects.exists()
        assert Hold.objects.exists()
        assert (data_dir / "demo-logins.json").stat().st_mode & 0o777 == 0o600
        assert "Nothing to do: 6 conversations" in capsys.readouterr().out

    def test_the_short_lived_one_goes_in_two_minutes(self, stage, data_dir, capsys):
        call_command("set_up_sample_centre")
        capsys.readouterr()
        before = clock.now()
        with stage.acting_as("work"):
            call_command("short_lived", "--json")

        said = json.loads(capsys.readouterr().out)
        chat = Conversation.objects.get(pk=said["conversation"])
        assert chat.destroy_after is not None
        left = chat.destroy_after - before
        assert timedelta(seconds=115) < left < timedelta(seconds=135)
