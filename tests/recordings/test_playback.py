"""Listening: the very bytes, each range its event, and not one byte that was altered."""

from __future__ import annotations

import asyncio
import os
import random
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.core.handlers.asgi import ASGIHandler
from django.db import connection
from django.urls import reverse

from accounts.models import TeamPermission, Undertaking
from accounts.operations import revoke_team
from audit import clock
from audit.models import Event
from config.servers import Servers
from config.servers.identities import CONTENT_BUCKET
from faults import proxy as proxies
from faults.proxy import Way
from recordings.encryption import HEADER_BYTES, SEGMENT_BYTES, ContentAltered
from recordings.formats.incoming import IncomingSegment
from recordings.models import Conversation, Dialog, Rendition, StoredObject
from recordings.objectstore.reading import close_sessions
from recordings.queries import looks_at
from tests.factories import ACTOR, Centre, sound_of, wav
from tests.harness.roles import ProxiedStage, Stage
from tests.harness.visitors import Visitor
from tests.recordings import deliveries
from tests.recordings.deliveries import call, gsm, sound, take

MOST = 1024 * 1024


def noise(seconds: float) -> bytes:
    """A WAV file of that length that nothing compresses: 32,000 bytes a second."""
    return wav(array("h", os.urandom(round(seconds * 8000) * 4)))


def incidents() -> list[Event]:
    return list(Event.objects.filter(event_type="incident.raised").order_by("id"))


def played() -> list[Event]:
    return list(Event.objects.filter(event_type="dialog.played").order_by("id"))


class TestListen:
    def test_gives_the_bytes_of_the_source_whatever_range_is_asked_for(
        self, centre: Centre, signed_in: Callable
    ):
        source = noise(40)
        dialog = sound_of(centre.call(body=source, seconds=40))
        alice: Visitor = signed_in(centre.alice)
        chosen = random.Random(22)

        for _ in range(8):
            first = chosen.randrange(len(source))
            last = first + chosen.randrange(2 * MOST)
            answer = alice.listen(dialog.pk, bytes_range=f"bytes={first}-{last}")

            expected = source[first : min(last + 1, first + MOST)]
            assert (answer.status, answer.body == expected) == (206, True)
            assert answer.headers["Content-Range"] == (
                f"bytes {first}-{first + len(expected) - 1}/{len(source)}"
            )
            assert answer.headers["Content-Length"] == str(len(expected))

    @pytest.mark.parametrize(
        ("bytes_range", "status", "expected"),
        [
            (None, 200, slice(None)),
            ("bytes=5-2", 200, slice(None)),
            ("bytes=0-", 206, slice(None)),
            ("bytes=-10", 206, slice(-10, None)),
            (f"bytes=100-{2**63}", 206, slice(100, None)),
            (f"bytes={2**63}-", 416, slice(0, 0)),
            ("bytes=0-1,4-5", 416, slice(0, 0)),
        ],
    )
    def test_answers_as_the_standard_says(
        self,
        centre: Centre,
        signed_in: Callable,
        bytes_range: str | None,
        status: int,
        expected: slice,
    ):
        source = noise(1)
        dialog = sound_of(centre.call(body=source, seconds=1))

        answer = signed_in(centre.alice).listen(dialog.pk, bytes_range=bytes_range)

        assert answer.status == status
        assert answer.body == source[expected]
        if status == 416:
            assert answer.headers["Content-Range"] == f"bytes */{len(source)}"

    def test_without_a_range_gives_the_beginning_of_what_is_long(
        self, centre: Centre, signed_in: Callable
    ):
        source = noise(40)
        dialog = sound_of(centre.call(body=source, seconds=40))

        answer = signed_in(centre.alice).listen(dialog.pk, bytes_range=None)

        assert (answer.status, answer.body == source[:MOST]) == (206, True)

    def test_is_kept_by_no_cache_and_read_as_nothing_else(
        self, centre: Centre, signed_in: Callable
    ):
        answer = signed_in(centre.alice).listen(sound_of(centre.call()).pk)

        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"].startswith("audio/")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Accept-Ranges"] == "bytes"

    def test_plays_the_rendition_of_what_no_browser_plays(
        self, centre: Centre, signed_in: Callable
    ):
        segments = centre.call().segments.values_list("from_at", "until_at")
        whole = IncomingSegment(*segments[0], team="claims", queue=None, agent=None)
        done = take(centre, call(gsm(), segments=(whole,), ended_at=clock.now()))
        dialog = sound_of(Conversation.objects.get(pk=done.conversation_id))
        playable = dialog.renditions.get(kind="playable")

        answer = signed_in(centre.alice).listen(dialog.pk)

        assert answer.status == 206
        assert answer.headers["Content-Type"] == playable.mediatype
        assert playable.stored_object is not None
        assert len(answer.body) == playable.stored_object.plain_size_bytes
        assert deliveries.GSM_FRAME not in answer.body

    def test_each_range_is_one_event_and_the_listening_one_look(
        self, centre: Centre, signed_in: Callable
    ):
        conversation = centre.call()
        dialog = sound_of(conversation)
        alice: Visitor = signed_in(centre.alice)
        plays = [uuid4(), uuid4()]

        for play, first in ((plays[0], 0), (plays[0], 1000), (plays[1], 0)):
            alice.listen(dialog.pk, play_id=play, bytes_range=f"bytes={first}-{first + 99}")

        events = played()
        assert [event.target for event in events] == [str(dialog.pk)] * 3
        assert [f'"play":"{play}"' in event.body for event in events for play in plays[:1]] == [
            True,
            True,
            False,
        ]
        assert '"first_byte":1000' in events[1].body
        assert '"last_byte":1099' in events[1].body
        assert {event.purpose for event in events} == {"coaching"}
        assert {event.basis.partition(":")[0] for event in events if event.basis} == {"rule"}
        assert [(look["name"], look["count"]) for look in looks_at(conversation=conversation)] == [
            (centre.alice.full_name, 2)
        ]

    @pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
    def test_by_another_method_is_not_done_and_not_logged_as_heard(
        self, centre: Centre, signed_in: Callable, method: str
    ):
        path = reverse("recordings:sound", args=[sound_of(centre.call()).pk])

        answer = signed_in(centre.alice).fetch(f"{path}?play={uuid4()}", method=method)

        assert (answer.status, answer.body, answer.headers["Allow"]) == (405, b"", "GET")
        assert played() == []


class TestRefused:
    def test_an_outsider_and_the_log_says_so_with_the_listening(
        self, centre: Centre, signed_in: Callable
    ):
        conversation = centre.call()
        play = uuid4()

        answer = signed_in(centre.charlie).listen(sound_of(conversation).pk, play_id=play)

        assert (answer.status, answer.body) == (404, b"")
        refused = Event.objects.get(event_type="playback.refused")
        assert (refused.actor, refused.outcome) == (str(centre.charlie.reference), "deny")
        assert (refused.log, refused.conversation) == (str(centre.vakka.pk), conversation.pk)
        assert f'"play":"{play}"' in refused.body
        assert played() == []

    def test_nobody_who_is_not_signed_in_and_not_by_a_redirect(
        self, centre: Centre, visitor: Visitor
    ):
        dialog = sound_of(centre.call())

        answers = [
            visitor.listen(dialog.pk),
            visitor.listen(uuid4()),
            visitor.get(reverse("recordings:waveform", args=[dialog.pk])),
        ]

        assert [(answer.status, answer.body) for answer in answers] == [(401, b"")] * 3

    @pytest.mark.parametrize("purpose", ["matter", "training", "nothing"])
    def test_a_purpose_that_is_not_hers(self, centre: Centre, signed_in: Callable, purpose: str):
        dialog = sound_of(centre.call())

        answer = signed_in(centre.alice).listen(dialog.pk, purpose=purpose)

        assert (answer.status, answer.body) == (404, b"")
        assert Event.objects.filter(actor=str(centre.alice.reference), outcome="deny").count() == 1

    def test_who_has_not_undertaken(self, centre: Centre, signed_in: Callable):
        dialog = sound_of(centre.call())
        Undertaking.objects.filter(user=centre.alice).delete()
        alice: Visitor = signed_in(centre.alice)

        answers = [
            alice.listen(dialog.pk),
            alice.get(reverse("recordings:waveform", args=[dialog.pk])),
        ]

        assert [(answer.status, answer.body) for answer in answers] == [(404, b"")] * 2
        assert Event.objects.filter(actor=str(centre.alice.reference), outcome="deny").count() == 2

    @pytest.mark.parametrize("play", ["", "1", "not-a-uuid"])
    def test_who_does_not_say_which_listening_it_is(
        self, centre: Centre, signed_in: Callable, play: str
    ):
        path = reverse("recordings:sound", args=[sound_of(centre.call()).pk])

        answer = signed_in(centre.alice).fetch(f"{path}?purpose=coaching&play={play}")

        assert (answer.status, answer.body) == (404, b"")
        assert Event.objects.filter(event_type="page.refused").count() == 1

    def test_what_is_no_recording(self, centre: Centre, signed_in: Callable):
        chat = centre.chat()
        alice: Visitor = signed_in(centre.alice)

        for dialog_id in (chat.dialogs.get().pk, uuid4()):
            answer = alice.listen(dialog_id)

            assert (answer.status, answer.body) == (404, b"")
        assert Event.objects.filter(event_type="playback.refused").count() == 2

    def test_the_next_range_once_her_permission_is_revoked(
        self, centre: Centre, signed_in: Callable
    ):
        dialog, play = sound_of(centre.call()), uuid4()
        alice: Visitor = signed_in(centre.alice)
        assert alice.listen(dialog.pk, play_id=play, bytes_range="bytes=0-9").status == 206

        revoke_team(
            permission=TeamPermission.objects.get(user=centre.alice), actor=ACTOR, now=clock.now()
        )

        answer = alice.listen(dialog.pk, play_id=play, bytes_range="bytes=10-19")
        assert (answer.status, answer.body) == (404, b"")


@contextmanager
def tampering(*tables: str) -> Iterator[None]:
    """Let the owner of the tables change what the database guards."""
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def flip(servers: Servers, stored: StoredObject, *, offset: int) -> None:
    """Flip one bit of what lies in the store, as its administrator."""
    admin = servers.s3("admin")
    found = admin.get_object(Bucket=CONTENT_BUCKET, Key=stored.key, VersionId=stored.version_id)
    body = bytearray(found["Body"].read())
    body[offset] ^= 1
    # A version never changes; to have ours read, the row must be made to name it besides.
    put = admin.put_object(Bucket=CONTENT_BUCKET, Key=stored.key, Body=bytes(body))
    with tampering("recordings_storedobject"):
        StoredObject.objects.filter(pk=stored.pk).update(version_id=put["VersionId"])


def swap(one: StoredObject, other: StoredObject) -> None:
    """Let each row name what lies where the other's does."""
    fields = ("key", "version_id", "stream_header", "plain_size_bytes", "stored_size_bytes")
    values = [{name: getattr(stored, name) for name in fields} for stored in (one, other)]
    with tampering("recordings_storedobject"):
        StoredObject.objects.filter(pk=one.pk).update(key="moved", version_id="moved")
        StoredObject.objects.filter(pk=other.pk).update(**values[0])
        StoredObject.objects.filter(pk=one.pk).update(**values[1])


class TestAltered:
    """T5 and fault 14."""

    @pytest.mark.parametrize("segment", [0, 1, 3])
    def test_a_flipped_bit_gives_no_byte_of_its_segment_and_an_incident(
        self, centre: Centre, servers: Servers, signed_in: Callable, segment: int
    ):
        source = noise(8)
        dialog = sound_of(centre.call(body=source, seconds=8))
        flip(servers, dialog.stored_object, offset=HEADER_BYTES + segment * SEGMENT_BYTES + 1000)
        alice: Visitor = signed_in(centre.alice)
        first = segment * SEGMENT_BYTES + 500

        answer = alice.listen(dialog.pk, bytes_range=f"bytes={first}-{first + 99}")

        assert (answer.status, answer.body) == (503, b"")
        (incident,) = incidents()
        assert (incident.target_kind, incident.target) == ("dialog", str(dialog.pk))
        assert '"kind":"content_altered"' in incident.body
        # What lies in the other segments is as it was.
        elsewhere = 2 * SEGMENT_BYTES + 500
        answer = alice.listen(dialog.pk, bytes_range=f"bytes={elsewhere}-{elsewhere + 99}")
        assert answer.body == source[elsewhere : elsewhere + 100]

    def test_a_bit_that_shows_in_the_middle_of_an_answer_breaks_it_off_before_a_wrong_byte(
        self, centre: Centre, servers: Servers, signed_in: Callable
    ):
        source = noise(8)
        dialog = sound_of(centre.call(body=source, seconds=8))
        flip(servers, dialog.stored_object, offset=2 * SEGMENT_BYTES + 1000)

        heard = Listener(signed_in(centre.alice), dialog.pk)
        with pytest.raises(ContentAltered):
            heard.to_the_end()

        assert heard.status == 206
        assert 0 < len(heard.body) < len(source)
        assert source.startswith(heard.body)
        assert [event.target for event in incidents()] == [str(dialog.pk)]

    @pytest.mark.parametrize("way", [Way.TRUNCATE, Way.CORRUPT])
    def test_what_is_garbled_on_its_way_once_is_read_again_and_heard_whole(
        self, centre: Centre, stage: Stage, way: Way
    ):
        source = noise(8)
        dialog = sound_of(centre.call(body=source, seconds=8))
        with proxies.proxied(stage.environment("web")["S3_ENDPOINT_URL"]) as proxy:
            alice = Visitor(ProxiedStage.of(stage, proxy.url), centre.alice)
            proxy.plan = proxies.first(way, "GetObject")

            answer = alice.listen(dialog.pk)

            assert (answer.status, answer.body) == (206, source)
            assert (proxy.faults[way], proxy.calls["GetObject"]) == (1, 2)
        assert len(incidents()) == (way is Way.CORRUPT)

    @pytest.mark.parametrize("how", ["two conversations", "one conversation"])
    def test_swapped_objects_are_refused(self, centre: Centre, signed_in: Callable, how: str):
        if how == "one conversation":
            whole = centre.call().segments.get()
            segment = IncomingSegment(whole.from_at, whole.until_at, "claims", None, None)
            incoming = call(
                sound(noise(2)), sound(noise(2)), segments=(segment,), ended_at=clock.now()
            )
            done = take(centre, incoming)
            dialogs = list(Dialog.objects.filter(conversation=done.conversation_id))
        else:
            dialogs = [sound_of(centre.call(body=noise(2))) for _ in range(2)]
        alice: Visitor = signed_in(centre.alice)
        assert [alice.listen(dialog.pk).status for dialog in dialogs] == [206, 206]

        swap(*(dialog.stored_object for dialog in dialogs))

        for dialog in dialogs:
            answer = alice.listen(dialog.pk)
            assert (answer.status, answer.body) == (503, b"")
        assert [event.target for event in incidents()] == [str(dialog.pk) for dialog in dialogs]

    def test_a_key_of_another_conversation_opens_nothing(self, centre: Centre, signed_in: Callable):
        calls = [centre.call(), centre.call()]
        with tampering("recordings_conversation"):
            Conversation.objects.filter(pk=calls[0].pk).update(wrapped_key=calls[1].wrapped_key)
        alice: Visitor = signed_in(centre.alice)

        answers = [
            alice.listen(sound_of(calls[0]).pk),
            alice.get(reverse("recordings:waveform", args=[sound_of(calls[0]).pk])),
            alice.get(reverse("recordings:conversation", args=[calls[0].pk])),
        ]

        assert [answer.status for answer in answers] == [503, 503, 503]
        assert len(incidents()) == 3

    def test_a_chat_that_was_altered_is_not_shown(
        self, centre: Centre, servers: Servers, signed_in: Callable
    ):
        chat = centre.chat("Kultainen lohikäärme", "nukkuu")
        flip(servers, chat.dialogs.get().stored_object, offset=HEADER_BYTES + 3)

        answer = signed_in(centre.alice).get(reverse("recordings:conversation", args=[chat.pk]))

        assert answer.status == 503
        assert "lohikäärme" not in answer.text
        assert [event.target for event in incidents()] == [str(chat.pk)]

    def test_a_waveform_that_was_altered_is_not_shown(self, centre: Centre, signed_in: Callable):
        dialog = sound_of(centre.call())
        peaks = dialog.renditions.get(kind="peaks")
        body = bytearray(peaks.sealed_body or b"")
        body[100] ^= 1
        with tampering("recordings_rendition"):
            Rendition.objects.filter(pk=peaks.pk).update(sealed_body=bytes(body))

        answer = signed_in(centre.alice).get(reverse("recordings:waveform", args=[dialog.pk]))

        assert (answer.status, answer.body) == (503, b"")
        assert len(incidents()) == 1

    def test_what_is_missing_from_the_store_is_not_there_for_now(
        self, centre: Centre, servers: Servers, signed_in: Callable
    ):
        stored = sound_of(centre.call()).stored_object
        servers.s3("admin").delete_object(
            Bucket=CONTENT_BUCKET, Key=stored.key, VersionId=stored.version_id
        )

        answer = signed_in(centre.alice).listen(stored.dialog.pk)

        assert answer.status == 503
        assert b"RIFF" not in answer.body


class TestServersDown:
    def test_without_the_store_or_the_keys_nothing_is_heard(
        self, centre: Centre, signed_in: Callable, settings_of
    ):
        dialog = sound_of(centre.call())
        alice: Visitor = signed_in(centre.alice)
        assert alice.listen(dialog.pk).status == 206

        for name, value in (
            ("S3_ENDPOINT_URL", "http://127.0.0.1:9"),
            ("KEYRING_DIR", None),
        ):
            with settings_of(name, value):
                answer = alice.listen(dialog.pk)

            assert answer.status == 503, name
            assert b"RIFF" not in answer.body
        assert alice.listen(dialog.pk).status == 206


@pytest.fixture
def settings_of(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Let every role be told something else for a while."""
    from tests.harness.roles import Stage

    told = Stage._settings

    @contextmanager
    def changed(name: str, value: str | None) -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(Stage, "_settings", lambda self, role: {**told(self, role), name: value})
            yield

    return changed


class Listener:
    """A browser that speaks ASGI itself: it sees every piece, and can go away in the middle."""

    def __init__(self, visitor: Visitor, dialog_id: UUID) -> None:
        self.visitor = visitor
        self.status = 0
        self.body = b""
        self.leaves_after_bytes: int | None = None
        self.while_sending: Callable[[], None] = lambda: None
        cookies = "; ".join(f"{name}={one.value}" for name, one in visitor.client.cookies.items())
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": reverse("recordings:sound", args=[dialog_id]),
            "query_string": f"purpose=coaching&play={uuid4()}".encode(),
            "headers": [
                (b"host", b"testserver"),
                (b"cookie", cookies.encode()),
                (b"range", b"bytes=0-"),
            ],
            "server": ("testserver", 80),
            "client": ("127.0.0.1", 1),
        }

    def to_the_end(self) -> None:
        """Ask, and take what comes."""
        with self.visitor.stage.acting_as("web"):
            async_to_sync(self._ask)()

    async def _ask(self) -> None:
        has_left = asyncio.Event()
        asked = False

        async def receive() -> dict:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b""}
            await has_left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                return
            self.body += message.get("body", b"")
            self.while_sending()
            if self.leaves_after_bytes is not None and len(self.body) > self.leaves_after_bytes:
                has_left.set()
                await asyncio.sleep(3600)  # she reads no further

        try:
            await asyncio.wait_for(ASGIHandler()(self.scope, receive, send), timeout=30)
        finally:
            await close_sessions()


class TestSlowListener:
    def test_keeps_no_database_connection_while_she_listens_nor_when_she_goes_away(
        self, centre: Centre, servers: Servers, signed_in: Callable
    ):
        source = noise(30)
        heard = Listener(signed_in(centre.alice), sound_of(centre.call(body=source)).pk)
        heard.leaves_after_bytes = 100_000
        seen: list[int] = []

        with psycopg.connect(servers.superuser_url(), autocommit=True) as superuser:

            def count() -> None:
                # A server process is gone a moment after its client: one that is kept stays.
                deadline = time.monotonic() + 5
                while (kept := connections()) and time.monotonic() < deadline:
                    time.sleep(0.02)
                seen.append(kept)

            def connections() -> int:
                row = superuser.execute(
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE datname = %s AND usename = 'tallenne_web'",
                    [centre.stage.database],
                ).fetchone()
                return row[0] if row else -1

            heard.while_sending = count
            heard.to_the_end()
            count()

        assert heard.status == 206
        assert 100_000 < len(heard.body) < len(source)
        assert source.startswith(heard.body)
        assert set(seen) == {0}
        # What she was sent, and what was made ready for her, she is taken to have heard.
        assert '"last_byte"' in played()[-1].body
