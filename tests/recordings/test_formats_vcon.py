"""vCon in all its shapes: what is captured, what is refused with which sentence."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recordings.formats.incoming import CannotCapture, IncomingConversation
from recordings.formats.vcon import read_vcon

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
SAMPLES = Path(__file__).parents[1] / "samples" / "vcon"
SOUND = b"RIFF not really"
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpus is not here")


def b64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def recording(**changes: Any) -> dict[str, Any]:
    return {
        "type": "recording",
        "start": "2026-05-01T12:00:00+03:00",
        "duration": 12.5,
        "parties": [1, 0],
        "mediatype": "audio/x-wav",
        "filename": "../../call.wav",
        "encoding": "base64url",
        "body": b64url(SOUND),
    } | changes


def vcon(*dialogs: Any, **changes: Any) -> dict[str, Any]:
    return {
        "uuid": "018f2f5a-0000-8000-8000-0000000000AB",
        "created_at": "2026-05-01T12:05:00Z",
        "parties": [
            {"tel": "tel:+358900001234", "name": "Outi Olematon", "role": "customer"},
            {"name": "Anna Agentti", "role": "agent", "id": "anna"},
        ],
        "dialog": list(dialogs),
    } | changes


@pytest.fixture
def read(tmp_path: Path):
    def read_it(value: Any) -> IncomingConversation:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        (tmp_path / "a.vcon").write_bytes(raw)
        return read_vcon(tmp_path / "a.vcon")

    return read_it


class TestReadsACall:
    def test_with_inline_sound(self, read):
        call = read(vcon(recording()))

        assert (call.kind, call.external_id) == ("call", "018f2f5a-0000-8000-8000-0000000000ab")
        assert call.started_at == datetime(2026, 5, 1, 9, 0, tzinfo=UTC)
        assert (call.ended_at - call.started_at).total_seconds() == 12.5
        assert [party.role for party in call.parties] == ["customer", "agent"]
        assert call.parties[0].identifiers == (("tel", "+358900001234"),)
        assert call.parties[1].login == "anna"
        (file,) = call.files
        assert (file.name, file.body, file.channel_roles) == (
            "call.wav",
            SOUND,
            ("agent", "customer"),
        )

    def test_in_the_shape_of_the_first_draft(self, read):
        digest = b64url(hashlib.sha512(SOUND).digest())
        old = recording(
            mimetype="audio/x-wav", alg="SHA-512", signature=digest, duration="12.5", start=None
        )
        del old["mediatype"]

        call = read(
            vcon(old, vcon="0.0.1", redacted={}, group=[], created_at="2026-05-01T12:00:00")
        )

        assert call.files[0].content_hash == f"sha512-{digest}"
        assert call.files[0].mediatype == "audio/x-wav"
        assert call.zone_assumption == "UTC"
        assert call.started_at == datetime(2026, 5, 1, 12, 0, tzinfo=UTC)

    @pytest.mark.parametrize("duration", [None, 0, 0.0, "", "0"])
    def test_whose_end_is_open_when_no_duration_is_known(self, read, duration):
        call = read(vcon(recording(duration=duration)))

        assert call.is_end_open
        assert call.files[0].duration_seconds is None

    def test_and_tells_what_it_left_out(self, read):
        call = read(
            vcon(recording(), {"type": "transfer"}, analysis=[{"type": "summary"}], attachments=[])
        )

        assert call.left_out == ("transfer", "analysis")

    def test_by_the_hash_of_the_file_when_it_has_no_uuid(self, read):
        first = read(vcon(recording(), uuid=""))
        second = read(vcon(recording(), uuid=None))

        assert first.external_id.startswith("sha256:")
        assert first.external_id != second.external_id

    def test_that_amends_another(self, read):
        call = read(vcon(recording(), amended={"uuid": "018f2f5a-0000-8000-8000-0000000000AA"}))

        assert call.linked_to == "018f2f5a-0000-8000-8000-0000000000aa"

    def test_of_which_a_redacted_part_left_an_empty_place(self, read):
        emptied = {"type": "recording", "start": "2026-05-01T09:00:00Z"}

        call = read(vcon(emptied, recording(), redacted={"uuid": "x", "type": "PII"}))

        assert len(call.files) == 1


class TestReadsAChat:
    def test_from_text_dialogs_in_the_order_of_time(self, read):
        chat = read(
            vcon(
                {"type": "text", "start": "2026-05-01T12:01:00Z", "parties": [1, 0], "body": "Moi"},
                {
                    "type": "text",
                    "start": "2026-05-01T12:00:00Z",
                    "parties": 0,
                    "body": b64url("Hyvää päivää".encode()),
                    "encoding": "base64url",
                    "mediatype": "text/plain; charset=UTF-8",
                    "message_id": "<1@example.com>",
                },
            )
        )

        assert chat.kind == "chat"
        assert [(message.party, message.text) for message in chat.messages] == [
            (0, "Hyvää päivää"),
            (1, "Moi"),
        ]
        assert chat.messages[0].message_id == "<1@example.com>"

    @pytest.mark.parametrize(
        ("body", "encoding", "text"),
        [
            (["eka", "toka"], "none", "eka\ntoka"),
            ({"a": 1}, "json", '{"a":1}'),
            ("teksti", None, "teksti"),
        ],
    )
    def test_whatever_the_body_is(self, read, body, encoding, text):
        chat = read(vcon({"type": "text", "parties": 0, "body": body, "encoding": encoding}))

        assert chat.messages[0].text == text


class TestParties:
    def test_null_and_emptied_places_do_not_move_the_others(self, read):
        call = read(
            vcon(recording(parties=[2, 1]), parties=[None, {"name": "A"}, {"role": "agent"}])
        )

        assert [party.role for party in call.parties] == ["customer", "agent"]
        assert call.files[0].channel_roles == ("agent", "customer")

    def test_nested_places_are_the_members_of_a_channel(self, read):
        call = read(vcon(recording(parties=[[1], [0, 0]])))

        assert call.files[0].channel_roles == ("agent", "customer")

    def test_the_role_may_stand_in_meta(self, read):
        call = read(
            vcon(recording(), parties=[{"tel": "1"}, {"tel": "2", "meta": {"role": "Agent"}}])
        )

        assert [party.role for party in call.parties] == ["customer", "agent"]

    def test_who_cannot_be_told_is_a_customer(self, read):
        call = read(vcon(recording(), parties=[{"tel": "1"}, {"tel": "2"}]))

        assert [party.role for party in call.parties] == ["customer", "customer"]
        assert call.files[0].channel_roles == ()


class TestRefuses:
    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            (b"", "The file is not valid JSON."),
            ([], "The file is not a vCon: it holds no JSON object."),
            ({"a": 1}, "The file is not a vCon."),
            (
                {"payload": "e30", "signatures": []},
                "The vCon is signed, which cannot be captured yet.",
            ),
            (
                {"protected": "e30", "ciphertext": "x"},
                "The vCon is encrypted, which cannot be captured yet.",
            ),
            (vcon(), "The vCon holds no dialog."),
            (vcon(dialog=None), "The vCon holds no dialog."),
            (vcon(dialog="text"), "A dialog of the vCon is not a JSON object."),
            (vcon(parties="Alice"), "The parties of the vCon are not a list."),
            (
                vcon({"type": "incomplete"}),
                "The vCon holds no dialog with content: the contact did not come about.",
            ),
            (
                vcon(recording(body=None, url="https://example.com/a.wav")),
                "The vCon only points at its content by URL; none is fetched.",
            ),
            (
                vcon(recording(), recording(body=None, url="https://example.com/a.wav")),
                "The vCon only points at its content by URL; none is fetched.",
            ),
            (
                vcon(recording(body=""), redacted={"uuid": "x"}),
                "The vCon has been redacted and nothing of its dialogs is left.",
            ),
            (
                vcon(recording(), critical=["secrets"]),
                "The vCon demands an extension that is not known here.",
            ),
            (
                vcon(recording(), must_support=["secrets"]),
                "The vCon demands an extension that is not known here.",
            ),
            (vcon(recording(body="€")), "The content of a dialog is not valid base64url."),
            (
                vcon(recording(content_hash="sha512-" + "A" * 86)),
                "The content of a dialog does not match its content hash.",
            ),
            (
                vcon(recording(content_hash=["sha256-x", "crc-y"])),
                "The content of a dialog does not match its content hash.",
            ),
            (
                vcon(recording(duration="eighteen")),
                "A dialog of the vCon has a duration that is no number of seconds.",
            ),
            (
                vcon(recording(duration="nan")),
                "A dialog of the vCon has a duration that is no number of seconds.",
            ),
            (
                vcon(recording(duration=1e9)),
                "A recording of the vCon claims to be longer than a day.",
            ),
            (
                vcon(recording(parties=[0, 7])),
                "A dialog of the vCon names a party that is not there.",
            ),
            (
                vcon(recording(type="hologram")),
                "A dialog of the vCon is of a kind that is not known here.",
            ),
            (
                vcon({"type": "text", "mediatype": "multipart/mixed", "body": "x"}),
                "A written dialog of the vCon is of a media type that is not text.",
            ),
            (
                vcon(recording(encoding="none")),
                "A recording of the vCon is in an encoding that cannot hold sound.",
            ),
            (vcon(recording(start="soon")), None),
        ],
    )
    def test_with_a_reason(self, read, value, reason):
        with pytest.raises(CannotCapture) as refusal:
            read(value)

        assert reason is None or str(refusal.value) == reason

    def test_a_file_that_is_too_large(self, tmp_path):
        (tmp_path / "a.vcon").write_bytes(b" " * 101)

        with pytest.raises(CannotCapture, match="larger than 100 bytes"):
            read_vcon(tmp_path / "a.vcon", max_bytes=100)


class TestSamples:
    @pytest.mark.parametrize("name", ["chat-0.4.vcon.json", "chat-0.0.1.vcon.json"])
    def test_of_our_own_are_read(self, name):
        chat = read_vcon(SAMPLES / name)

        assert chat.kind == "chat"
        assert [party.role for party in chat.parties] == ["customer", "agent"]
        assert [message.party for message in chat.messages] == [0, 1, 0]


@needs_corpus
class TestCorpus:
    @pytest.mark.parametrize(
        ("name", "seconds", "messages"),
        [
            ("vcon/ietf/ab_call_int_rec.vcon", 4.72, 0),
            ("vcon/py-vcon/hello.vcon", None, 0),
            ("vcon/ietf/ab_email_prob_followup_text_thread.vcon", None, 3),
            ("calls/chats/vcon_text/chat.vcon.json", None, 12),
        ],
    )
    def test_what_is_well_formed_and_whole_is_read(self, name, seconds, messages):
        conversation = read_vcon(CORPUS / name)

        assert [file.duration_seconds for file in conversation.files] == (
            [] if messages else [seconds]
        )
        assert len(conversation.messages) == messages

    @pytest.mark.parametrize(
        ("name", "word"),
        [
            ("vcon/ietf/ab.vcon", "no dialog"),
            ("vcon/ietf/ab_call_ext_rec.vcon", "URL"),
            ("vcon/ietf/ab_call_ext_rec_signed.vcon", "signed"),
            ("vcon/ietf/ab_call_ext_rec_encrypted.vcon", "encrypted"),
            ("vcon/ietf/ab_call_ext_rec_redacted.vcon", "redacted"),
            ("calls/c17/c17.vcon.json", "URL"),
        ],
    )
    def test_what_cannot_be_is_refused_by_its_own_name(self, name, word):
        with pytest.raises(CannotCapture, match=word):
            read_vcon(CORPUS / name)

    @pytest.mark.parametrize("folder", ["hostile/vcon", "hostile/json"])
    def test_hostile_files_give_a_reason_and_nothing_else(self, folder):
        files = sorted(path for path in (CORPUS / folder).rglob("*.json"))

        assert files
        for path in files:
            with pytest.raises(CannotCapture):
                read_vcon(path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["recording", "text", "base64url", "none", "2026-05-01T12:00:00Z", "AAAA"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*vcon(), *recording(), "meta", "role", "tel", "content_hash", "url"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    value=st.one_of(
        JSON,
        st.builds(
            lambda d, c: vcon(recording(**d), **c),
            st.dictionaries(
                st.sampled_from([*recording(), "originator", "content_hash"]), JSON, max_size=3
            ),
            st.dictionaries(
                st.sampled_from([*vcon(), "meta", "redacted", "subject"]), JSON, max_size=2
            ),
        ),
    )
)
def test_any_json_is_either_read_or_refused(read, value):
    try:
        conversation = read(value)
    except CannotCapture as refusal:
        assert str(refusal).endswith(".")
    else:
        assert conversation.files or conversation.messages
        assert conversation.ended_at >= conversation.started_at
