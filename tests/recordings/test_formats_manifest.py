"""Our own manifest: what is read, what is refused, and that one bad line spoils no other."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recordings.formats.incoming import IncomingConversation, Refused
from recordings.formats.manifest import read_manifest

CALL: dict[str, Any] = {
    "id": "c-1",
    "kind": "call",
    "direction": "inbound",
    "controller": "esimerkki-palvelut",
    "started_at": "2026-03-01T10:00:00+02:00",
    "ended_at": "2026-03-01T10:01:30.5+02:00",
    "language": "fi",
    "parties": [
        {"role": "agent", "name": "Anna Agentti", "login": "anna"},
        {"role": "customer", "name": "Outi Olematon", "tel": "tel:+358 9 0000 1234"},
    ],
    "team": "korvaukset",
    "queue": "korvaukset-puhelin",
    "files": [{"path": "sound/c1.ogg", "channels": 2, "channel_roles": ["agent", "customer"]}],
    "informed_by": "announcement",
    "tags": ["complaint"],
    "outcome": "resolved",
    "claim": ["K-17", "K-18"],
    "contract": "S-1",
}
CHAT: dict[str, Any] = {
    "id": "k-1",
    "kind": "chat",
    "started_at": "2026-03-01T08:00:00Z",
    "ended_at": "2026-03-01T08:05:00Z",
    "parties": [{"role": "customer"}, {"role": "agent"}],
    "messages": [
        {"at": "2026-03-01T08:00:00Z", "party": 0, "text": "Hei!", "id": "m1"},
        {"at": "2026-03-01T08:01:00Z", "party": 1, "deleted": True},
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "sound").mkdir(parents=True)
    (tmp_path / "in" / "sound" / "c1.ogg").write_bytes(b"OggS")
    (tmp_path / "outside.ogg").write_bytes(b"OggS")
    return tmp_path / "in"


def outcomes(folder: Path, *lines: Any) -> list[IncomingConversation | Refused]:
    """Write the lines (objects or bytes) as a manifest and read it."""
    raw = [line if isinstance(line, bytes) else orjson.dumps(line) for line in lines]
    (folder / "manifest.jsonl").write_bytes(b"\n".join(raw))
    return [read.outcome for read in read_manifest(folder / "manifest.jsonl")]


def refusal(folder: Path, line: Any) -> Refused:
    """Read one line that must be refused."""
    (outcome,) = outcomes(folder, line)
    assert isinstance(outcome, Refused), outcome
    return outcome


class TestReadsACall:
    def test_with_everything_in_the_short_form(self, folder):
        (call,) = outcomes(folder, CALL)

        assert isinstance(call, IncomingConversation)
        assert (call.external_id, call.kind, call.direction) == ("c-1", "call", "inbound")
        assert call.started_at == datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
        assert call.ended_at == datetime(2026, 3, 1, 8, 1, 30, 500000, tzinfo=UTC)
        assert call.parties[1].identifiers == (("tel", "+358 9 0000 1234"),)
        assert call.outcome == "resolved"
        assert call.references == (("contract", "S-1"), ("claim", "K-17"), ("claim", "K-18"))
        (segment,) = call.segments
        assert (segment.team, segment.queue, segment.agent) == (
            "korvaukset",
            "korvaukset-puhelin",
            0,
        )
        (file,) = call.files
        assert file.path == folder / "sound" / "c1.ogg"
        assert file.started_at == call.started_at
        assert file.channel_roles == ("agent", "customer")

    def test_with_segments_that_name_the_agent_by_login_or_place(self, folder):
        line = CALL | {
            "segments": [
                {
                    "from": "2026-03-01T08:00:00Z",
                    "until": "2026-03-01T08:01:00Z",
                    "team": "myynti",
                    "agent": "anna",
                },
                {"from": "2026-03-01T08:01:00Z", "until": "2026-03-01T08:01:30Z", "agent": 0},
            ]
        }
        del line["team"], line["queue"]

        (call,) = outcomes(folder, line)

        assert isinstance(call, IncomingConversation)
        assert [(segment.team, segment.agent) for segment in call.segments] == [
            ("myynti", 0),
            (None, 0),
        ]

    def test_and_fields_beginning_with_x_are_left_alone(self, folder):
        (call,) = outcomes(folder, CALL | {"x-vendor": {"anything": [1]}})

        assert isinstance(call, IncomingConversation)


class TestReadsAChat:
    def test_with_its_messages(self, folder):
        (chat,) = outcomes(folder, CHAT)

        assert isinstance(chat, IncomingConversation)
        assert [(message.party, message.text) for message in chat.messages] == [
            (0, "Hei!"),
            (1, ""),
        ]
        assert chat.messages[1].deleted

    def test_with_its_messages_in_a_file_of_their_own(self, folder):
        (folder / "k1.jsonl").write_bytes(
            b'{"at":"2026-03-01T08:00:00Z","text":"Hei"}\n\n'
            b'{"at":"2026-03-01T08:00:01Z","text":"Moi"}'
        )
        line = {name: value for name, value in CHAT.items() if name != "messages"}

        (chat,) = outcomes(folder, line | {"messages_file": "k1.jsonl"})

        assert isinstance(chat, IncomingConversation)
        assert [message.text for message in chat.messages] == ["Hei", "Moi"]

    def test_unless_a_message_in_that_file_is_wrong(self, folder):
        (folder / "k1.jsonl").write_bytes(b'{"at":"2026-03-01T08:00:00Z","tekst":"Hei"}')
        line = {name: value for name, value in CHAT.items() if name != "messages"}

        refused = refusal(folder, line | {"messages_file": "k1.jsonl"})

        assert refused.reason == "Field messages[0] has a field that manifests do not know."
        assert refused.files == (folder / "k1.jsonl",)


class TestOneBadLine:
    def test_spoils_no_other(self, folder):
        read = outcomes(folder, CALL, b"{not json", b"", CHAT, b"\xff\xfe", CHAT | {"id": "k-2"})

        assert [type(outcome).__name__ for outcome in read] == [
            "IncomingConversation",
            "Refused",
            "IncomingConversation",
            "Refused",
            "IncomingConversation",
        ]
        bad = read[1]
        assert isinstance(bad, Refused)
        assert (bad.line, bad.reason, bad.raw) == (2, "The line is not valid JSON.", b"{not json")

    def test_that_is_too_long_is_skipped_without_being_held_in_memory(self, folder):
        path = folder / "manifest.jsonl"
        long_line = b'{"id":"' + b"a" * 3_000_000 + b'"}'
        path.write_bytes(long_line + b"\r\n" + orjson.dumps(CHAT) + b"\r\n")

        first, second = read_manifest(path, max_line_bytes=10_000)

        assert isinstance(first.outcome, Refused)
        assert len(first.raw) < 100_000
        assert first.outcome.length_bytes == len(long_line) + 2
        assert isinstance(second.outcome, IncomingConversation)
        assert second.line == 2

    def test_keeps_the_recordings_that_it_names_in_sight(self, folder):
        refused = refusal(folder, CALL | {"kind": "fax"})

        assert refused.files == (folder / "sound" / "c1.ogg",)


class TestRefuses:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"id": 7}, "Field id is not of type string."),
            ({"id": ""}, "Field id is smaller than 1."),
            ({"kind": "fax"}, "Field kind is none of call, chat."),
            ({"tekst": 1}, "The line has a field that manifests do not know."),
            ({"started_at": "2026-03-01T10:00:00"}, "Field started_at has no time zone."),
            (
                {"started_at": "yesterday"},
                "Field started_at is not a time of the form 2026-01-31T12:00:00+02:00.",
            ),
            (
                {"ended_at": "2026-02-30T10:00:00Z"},
                "Field ended_at is a time that does not exist.",
            ),
            (
                {"ended_at": "9999-12-31T23:59:59-02:00"},
                "Field ended_at is a time that does not exist.",
            ),
            (
                {"ended_at": "2200-01-01T00:00:00Z"},
                "Field ended_at lies outside the years 1990 to 2099.",
            ),
            ({"ended_at": "2026-03-01T07:59:59Z"}, "The conversation ends before it starts."),
            ({"parties": [{"role": "spy"}]}, "Field parties[0].role is none of agent, customer."),
            (
                {"agent": "somebody"},
                "Field agent does not name one agent among the parties.",
            ),
            ({"files": []}, "A call names no sound recording."),
            (
                {"files": [{"path": "sound/none.ogg"}]},
                "Field files[0].path names a file that is not there.",
            ),
            (
                {"files": [{"path": "sound"}]},
                "Field files[0].path names something that is not a file.",
            ),
            (
                {"files": [{"path": "sound/c1.ogg"}, {"path": "./sound/c1.ogg"}]},
                "Field files[1].path names the same file as another.",
            ),
            (
                {
                    "files": [
                        {"path": "sound/c1.ogg", "channels": 1, "channel_roles": ["agent"] * 2}
                    ]
                },
                "Field files[0].channel_roles does not name every channel.",
            ),
            ({"segments": []}, "The line has both segments and their short form."),
            (
                {"subject": "a\x00b"},
                "The line holds the character NUL, which cannot be kept.",
            ),
        ],
    )
    def test_with_a_reason(self, folder, change, reason):
        assert refusal(folder, CALL | change).reason == reason

    def test_a_line_that_lacks_what_must_be_there(self, folder):
        assert refusal(folder, {"id": "1"}).reason == "The line lacks kind, started_at, ended_at."

    def test_half_a_surrogate_pair(self, folder):
        refused = refusal(folder, b'{"id": "\\ud800"}')

        assert refused.reason == "The line holds half a surrogate pair, which is not a character."

    def test_depth(self, folder):
        refused = refusal(folder, b'{"x-a":' + b"[" * 500 + b"]" * 500 + b"}")

        assert refused.reason == "The line is nested deeper than 64 levels."

    @pytest.mark.parametrize(
        "path",
        ["../outside.ogg", "sound/../../outside.ogg", "/etc/passwd", "..\\outside.ogg", "leak.ogg"],
    )
    def test_a_path_that_leaves_the_folder(self, folder, path):
        (folder / "leak.ogg").symlink_to(folder.parent / "outside.ogg")

        refused = refusal(folder, CALL | {"files": [{"path": path}]})

        assert refused.reason.startswith("Field files[0].path")
        assert refused.files == ()

    def test_without_ever_quoting_what_the_line_says(self, folder):
        secret = "131052-308T"

        for change in (
            {"kind": secret},
            {"parties": [{"role": secret}]},
            {secret: 1},
            {"started_at": secret},
            {"files": [{"path": secret}]},
            {"agent": secret},
            {"parties": [{"role": "agent", secret: secret}]},
            {"language": secret},
            {"messages": [{"at": secret}]},
        ):
            assert secret not in refusal(folder, CALL | change).reason


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*CALL, *CHAT, "path", "role", "at"]), inner, max_size=5)
    ),
    max_leaves=15,
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(change=st.dictionaries(st.sampled_from([*CALL, *CHAT]), JSON, max_size=4))
def test_any_json_is_either_read_or_refused(folder, change):
    raw = json.dumps(CALL | change).encode()

    (outcome,) = outcomes(folder, raw)

    assert isinstance(outcome, IncomingConversation | Refused)
