"""The store as we use it, against a real SeaweedFS: what it answers, and what we make of it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from botocore.exceptions import ConnectionClosedError

from config.servers import Servers
from recordings.encryption import (
    HEADER_BYTES,
    RangeDecrypter,
    SegmentReader,
    encrypt_bytes,
    segments_for,
)
from recordings.objectstore import (
    Identity,
    ObjectExists,
    ObjectHeld,
    ObjectMissing,
    ObjectStore,
    StoreRefused,
    StoreUnavailable,
    content_key,
    quarantine_key,
    reading,
    store,
    writing,
)

ENDED_ON = date(2026, 3, 4)


@pytest.fixture(scope="session")
def object_store_endpoint(servers: Servers) -> dict[str, str]:
    """Every identity's part of the environment, in one."""
    return servers.environment("work") | servers.environment("purge")


def identity(environment: dict[str, str], keys: str, bucket: str = "CONTENT") -> Identity:
    return Identity(
        endpoint_url=environment["S3_ENDPOINT_URL"],
        region=environment["S3_REGION"],
        bucket=environment[f"S3_{bucket}_BUCKET"],
        access_key=environment[f"S3_{keys}_ACCESS_KEY"],
        secret_key=environment[f"S3_{keys}_SECRET_KEY"],
    )


@pytest.fixture
def content(object_store_endpoint: dict[str, str]) -> ObjectStore:
    return ObjectStore(identity(object_store_endpoint, "CONTENT"))


@pytest.fixture
def purge(object_store_endpoint: dict[str, str]) -> ObjectStore:
    return ObjectStore(identity(object_store_endpoint, "PURGE"))


@pytest.fixture
def anchor(object_store_endpoint: dict[str, str]) -> ObjectStore:
    return ObjectStore(identity(object_store_endpoint, "ANCHOR", "ANCHOR"))


@pytest.fixture
def anchor_reading(object_store_endpoint: dict[str, str]) -> ObjectStore:
    return ObjectStore(identity(object_store_endpoint, "ANCHOR_READ", "ANCHOR"))


@pytest.fixture
def key() -> str:
    return new_key()


def new_key() -> str:
    return content_key(ended_on=ENDED_ON, conversation_id=uuid4(), part_id=uuid4())


def versions_of(purge: ObjectStore, key: str) -> list[str]:
    return [found.version_id for found in purge.list_versions(prefix=key)]


@pytest.fixture
def lose_answers(monkeypatch):
    """Make a store's client lose the answers to some calls after the store has done them."""

    def lose(target: ObjectStore, name: str, *, times: int = 1) -> None:
        original = getattr(target._s3, name)
        lost: list[str] = []

        def losing(**request):
            answer = original(**request)
            if len(lost) < times:
                lost.append(name)
                raise ConnectionClosedError(endpoint_url="http://lost")
            return answer

        monkeypatch.setattr(target._s3, name, losing)

    return lose


class TestKeys:
    def test_say_the_day_and_two_references(self):
        key = new_key()

        assert key.startswith("2026/03/04/")
        assert len(key.split("/")) == 5

    @pytest.mark.parametrize(
        "key",
        [
            *("", "/", "a", "../x", "2026/03/04/call with Anna/x", "2026/03/04/x/y"),
            # One name that begins another would be skipped in lists.
            f"2026/03/04/{UUID(int=1)}/{UUID(int=1)}-playable",
            f"2026/03/04/{UUID(int=1)}/{UUID(int=1)}.ogg",
            f"quarantine/{UUID(int=1)}",
        ],
    )
    def test_others_are_refused(self, content, key):
        with pytest.raises(ValueError, match="content_key"):
            content.put(key, b"")


class TestPut:
    @pytest.mark.parametrize("size", [0, 1, 175_000])
    def test_stores_what_it_was_given(self, content, key, size):
        body = random.randbytes(size)

        version = content.put(key, body)

        assert content.get(key, version) == body

    @pytest.mark.parametrize("extra", [-1, 0, 1, writing.PART_BYTES, writing.PART_BYTES + 12_345])
    def test_goes_up_in_parts_when_large(self, content, purge, key, extra):
        body = random.randbytes(writing.PART_BYTES + extra)

        version = content.put(key, (body[at : at + 999_999] for at in range(0, len(body), 999_999)))

        assert hashlib.sha256(content.get(key, version)).digest() == hashlib.sha256(body).digest()
        assert versions_of(purge, key) == [version]

    def test_takes_a_file(self, content, key):
        version = content.put(key, io.BytesIO(b"from a file"))

        assert content.get(key, version) == b"from a file"

    def test_a_quarantined_item_has_a_place_of_its_own(self, content):
        key = quarantine_key(received_on=ENDED_ON, item_id=uuid4())

        assert content.get(key, content.put(key, b"?")) == b"?"

    @pytest.mark.parametrize("size", [100, writing.PART_BYTES + 100])
    def test_a_used_key_is_refused(self, content, purge, key, size):
        version = content.put(key, b"first")

        with pytest.raises(ObjectExists):
            content.put(key, random.randbytes(size))
        assert versions_of(purge, key) == [version]

    @pytest.mark.parametrize("size", [100, writing.PART_BYTES + 100])
    @pytest.mark.parametrize("legal_hold", [False, True])
    def test_under_hold_from_the_first_instant(self, content, key, size, legal_hold):
        version = content.put(key, random.randbytes(size), legal_hold=legal_hold)

        assert content.get_legal_hold(key, version) is legal_hold

    @pytest.mark.parametrize("times", [1, 2])
    def test_a_lost_answer_leaves_one_version(self, content, purge, key, lose_answers, times):
        lose_answers(content, "put_object", times=times)
        body = random.randbytes(5000)

        version = content.put(key, body)

        assert versions_of(purge, key) == [version]
        assert content.get(key, version) == body

    def test_a_lost_answer_at_the_end_of_parts_leaves_one_version(
        self, content, purge, key, lose_answers
    ):
        lose_answers(content, "complete_multipart_upload")
        body = random.randbytes(writing.PART_BYTES + 5000)

        version = content.put(key, body)

        assert versions_of(purge, key) == [version]
        assert content.get(key, version) == body

    @pytest.mark.parametrize("parts", [0, 1])
    def test_chunks_that_break_off_leave_nothing(self, content, purge, key, parts):
        def broken() -> Iterator[bytes]:
            for _ in range(parts):
                yield random.randbytes(writing.PART_BYTES)
            yield b"some"
            raise OSError("disk")

        with pytest.raises(OSError, match="disk"):
            content.put(key, broken())
        assert versions_of(purge, key) == []


class TestRead:
    def test_gives_the_range_and_no_more(self, content, key):
        version = content.put(key, bytes(range(100)))

        assert content.get_range(key, version, 10, 12) == bytes([10, 11, 12])
        assert content.get_range(key, version, 98, 200) == bytes([98, 99])

    def test_says_what_is_missing(self, content, key):
        version = content.put(key, b"x")

        for missing in ((new_key(), version), (key, "0" * 32)):
            with pytest.raises(ObjectMissing):
                content.get_range(*missing, 0, 1)

    def test_without_the_right_there_is_nothing(self, content, purge, key):
        version = content.put(key, b"x")

        with pytest.raises(StoreRefused):
            purge.get_range(key, version, 0, 0)


class TestOpenRange:
    @staticmethod
    def read(store: ObjectStore, *where) -> bytes:
        async def reading_all() -> bytes:
            try:
                opened = await store.open_range(*where)
                return await opened.read()
            finally:
                await reading.close_sessions()

        return asyncio.run(reading_all())

    def test_streams_what_the_other_way_gives(self, content, key):
        body = random.randbytes(3_000_000)
        version = content.put(key, body)

        assert self.read(content, key, version, 0, len(body) - 1) == body
        for _ in range(20):
            first = random.randrange(len(body))
            last = random.randrange(first, len(body))
            assert self.read(content, key, version, first, last) == body[first : last + 1]

    def test_refuses_before_the_first_byte(self, content, purge, key):
        version = content.put(key, b"x")

        with pytest.raises(ObjectMissing):
            self.read(content, key, "0" * 32, 0, 0)
        with pytest.raises(ObjectMissing):
            self.read(content, new_key(), version, 0, 0)
        with pytest.raises(StoreRefused):
            self.read(purge, key, version, 0, 0)
        with pytest.raises(StoreRefused):
            self.read(content, key, version, 5, 6)

    def test_a_store_that_is_not_there(self, content, key):
        away = ObjectStore(replace(content._identity, endpoint_url=f"http://127.0.0.1:{closed()}"))

        with pytest.raises(StoreUnavailable):
            self.read(away, key, "v", 0, 0)

    @pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 206 P\r\nContent-Length: 9\r\n\r\nabc"])
    def test_a_store_that_stops_half_way(self, content, key, sent):
        with Answering(sent) as port:
            stopping = ObjectStore(
                replace(content._identity, endpoint_url=f"http://127.0.0.1:{port}")
            )

            with pytest.raises(StoreUnavailable):
                self.read(stopping, key, "v", 0, 8)

    def test_decrypts_what_it_streams(self, content, key):
        plain = random.randbytes(500_000)
        stored = encrypt_bytes(plain, key=bytes(32), associated_data=b"d")
        version = content.put(key, stored)
        span = segments_for(150_000, 300_000, len(plain))

        header = self.read(content, key, version, 0, HEADER_BYTES - 1)
        reader = SegmentReader(key=bytes(32), associated_data=b"d", header=header)
        decrypter = RangeDecrypter(reader=reader, span=span)
        heard = decrypter.update(
            self.read(content, key, version, span.stored_first, span.stored_last)
        )
        decrypter.finalize()

        assert heard == plain[150_000:300_001]


class TestHold:
    def test_is_placed_and_lifted(self, content, key):
        version = content.put(key, b"x")
        assert content.get_legal_hold(key, version) is False

        content.put_legal_hold(key, version, is_held=True)
        assert content.get_legal_hold(key, version) is True

        content.put_legal_hold(key, version, is_held=False)
        assert content.get_legal_hold(key, version) is False

    def test_of_what_is_missing(self, content):
        with pytest.raises(ObjectMissing):
            content.put_legal_hold(new_key(), "0" * 32, is_held=True)
        with pytest.raises(ObjectMissing):
            content.get_legal_hold(new_key(), "0" * 32)


class TestDelete:
    def test_held_is_untouchable_and_the_rest_goes(self, content, purge):
        kept, gone = new_key(), new_key()
        held = content.put(kept, b"held", legal_hold=True)
        free = content.put(gone, b"free")

        failures = purge.delete_versions([(kept, held), (gone, free)])

        assert list(failures) == [(kept, held)]
        assert isinstance(failures[kept, held], ObjectHeld)
        assert content.get(kept, held) == b"held"
        with pytest.raises(ObjectMissing):
            content.get(gone, free)
        assert versions_of(purge, gone) == []

    def test_again_is_harmless_and_leaves_no_marker(self, content, purge, key):
        version = content.put(key, b"x")

        assert purge.delete_versions([(key, version)]) == {}
        assert purge.delete_versions([(key, version)]) == {}
        assert list(purge.list_versions(prefix=key)) == []

    def test_a_lost_answer_leaves_nothing(self, content, purge, key, lose_answers):
        version = content.put(key, b"x")
        lose_answers(purge, "delete_objects")

        assert purge.delete_versions([(key, version)]) == {}
        assert list(purge.list_versions(prefix=key)) == []

    def test_only_named_versions(self, purge, key):
        for version in ("", "null"):
            with pytest.raises(ValueError, match="version id"):
                purge.delete_versions([(key, version)])

    def test_the_content_identity_deletes_nothing(self, content, key):
        version = content.put(key, b"x")

        assert list(content.delete_versions([(key, version)])) == [(key, version)]
        assert content.get(key, version) == b"x"

    def test_goes_on_after_a_thousand(self, content, purge, monkeypatch):
        monkeypatch.setattr(store, "DELETE_BATCH", 3)
        put = [(key, content.put(key, b"x")) for key in (new_key() for _ in range(8))]

        assert purge.delete_versions(put) == {}
        assert [key for key, _ in put if versions_of(purge, key)] == []

    def test_what_the_store_says_nothing_about_has_failed(self, purge, key, monkeypatch):
        monkeypatch.setattr(purge._s3, "delete_objects", lambda **_: {})

        failures = purge.delete_versions([(key, "0" * 32)])

        assert isinstance(failures[key, "0" * 32], StoreUnavailable)


class TestList:
    @pytest.fixture
    def listed(self, content):
        """A day of its own with 12 objects, in order of keys."""
        day = date(1900, 1, 1) + timedelta(days=random.randrange(36_000))
        conversations = [uuid4() for _ in range(4)]
        keys = sorted(
            content_key(ended_on=day, conversation_id=conversation, part_id=uuid4())
            for conversation in conversations
            for _ in range(3)
        )
        return f"{day:%Y/%m/%d}/", [(key, content.put(key, b"four")) for key in keys]

    @pytest.mark.parametrize("page", [1, 2, 3, 5, 7, 1000])
    def test_every_version_once_across_pages(self, purge, listed, monkeypatch, page):
        monkeypatch.setattr(store, "LIST_BATCH", page)
        prefix, put = listed

        found = list(purge.list_versions(prefix=prefix))

        assert [(each.key, each.version_id) for each in found] == put
        assert {each.size_bytes for each in found} == {4}
        assert not any(each.is_delete_marker for each in found)

    @pytest.mark.parametrize("page", [1, 2, 1000])
    def test_between_two_keys_both_included(self, purge, listed, monkeypatch, page):
        monkeypatch.setattr(store, "LIST_BATCH", page)
        prefix, put = listed
        for first in range(0, 12, 3):
            for last in range(first, 12, 4):
                found = purge.list_versions(
                    prefix=prefix, from_key=put[first][0], until_key=put[last][0]
                )

                assert [(each.key, each.version_id) for each in found] == put[first : last + 1]

    def test_between_two_keys_without_a_prefix(self, purge, listed):
        _, put = listed

        found = purge.list_versions(from_key=put[2][0], until_key=put[5][0])

        assert [(each.key, each.version_id) for each in found] == put[2:6]

    def test_a_list_that_goes_round_is_an_error(self, purge, monkeypatch):
        monkeypatch.setattr(
            purge._s3,
            "list_object_versions",
            lambda **_: {"IsTruncated": True, "NextKeyMarker": "a", "NextVersionIdMarker": "b"},
        )

        with pytest.raises(StoreUnavailable, match="to the end"):
            list(purge.list_versions())

    def test_the_content_identity_lists_nothing(self, content):
        with pytest.raises(StoreRefused):
            list(content.list_versions())


class TestAnchor:
    def test_is_written_once_and_stays(self, anchor, anchor_reading):
        key = f"ledger/{uuid4()}"
        until = anchor.server_date() + timedelta(minutes=2)

        version = anchor.put_locked(key, b"line", retain_until=until)

        assert anchor_reading.get(key, version) == b"line"
        with pytest.raises(ObjectExists):
            anchor.put_locked(key, b"another", retain_until=until)
        with pytest.raises(StoreRefused):
            anchor.get(key, version)
        assert list(anchor.delete_versions([(key, version)])) == [(key, version)]

    def test_a_time_has_a_zone_and_a_key_is_plain(self, anchor):
        with pytest.raises(ValueError, match="zone"):
            anchor.put_locked("ledger/1", b"", retain_until=datetime(2030, 1, 1))  # noqa: DTZ001
        with pytest.raises(ValueError, match="plain"):
            anchor.put_locked("../1", b"", retain_until=anchor.server_date())


class TestFromSettings:
    def test_uses_what_this_process_was_given(self, object_store_endpoint, key, monkeypatch):
        monkeypatch.setattr("django.conf.settings", SimpleNamespace(**object_store_endpoint))

        version = ObjectStore.for_content().put(key, b"x")

        assert ObjectStore.for_purge().delete_versions([(key, version)]) == {}
        assert abs(ObjectStore.for_anchor().server_date().timestamp() - time.time()) < 5
        assert list(ObjectStore.for_anchor_reading().list_versions(prefix="none/")) == []

    def test_without_a_credential_there_is_a_named_error(self, object_store_endpoint, monkeypatch):
        given = {**object_store_endpoint, "S3_PURGE_SECRET_KEY": None}
        monkeypatch.setattr("django.conf.settings", SimpleNamespace(**given))

        with pytest.raises(StoreRefused, match="This process has no access"):
            ObjectStore.for_purge()


class TestServerDate:
    def test_every_identity_may_ask(self, content, purge, anchor, anchor_reading):
        for asked in (content, purge, anchor, anchor_reading):
            assert abs(asked.server_date().timestamp() - time.time()) < 5


class TestUnavailable:
    def test_a_store_that_is_not_there(self, content, key):
        away = ObjectStore(replace(content._identity, endpoint_url=f"http://127.0.0.1:{closed()}"))

        for deed in (
            lambda: away.put(key, b"x"),
            lambda: away.get(key, "v"),
            lambda: away.delete_versions([(key, "v")]),
            lambda: list(away.list_versions()),
            lambda: away.server_date(),
        ):
            with pytest.raises(StoreUnavailable):
                deed()

    def test_a_store_that_hangs_is_given_up_and_not_asked_again(self, content, key, monkeypatch):
        monkeypatch.setattr("recordings.objectstore.identity.READ_SECONDS", 1)
        monkeypatch.setattr("recordings.objectstore.calling.REPEAT_WITHIN_SECONDS", 0.5)
        with Answering(None) as port:
            hanging = ObjectStore(
                replace(content._identity, endpoint_url=f"http://127.0.0.1:{port}")
            )
            started = time.monotonic()

            with pytest.raises(StoreUnavailable):
                hanging.get(key, "v")

            assert time.monotonic() - started < 2

    def test_an_internal_error_is_tried_again(self, content, key):
        with Answering(b"HTTP/1.1 503 Slow\r\nContent-Length: 0\r\n\r\n") as port:
            slow = ObjectStore(replace(content._identity, endpoint_url=f"http://127.0.0.1:{port}"))

            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                slow.get(key, "v")

    def test_no_error_tells_keys_or_secrets(self, content):
        assert content._identity.secret_key not in repr(content._identity)
        assert str(StoreUnavailable()) == "The object store cannot be reached for now."


def closed() -> int:
    """A port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Answering:
    """A server that sends the same bytes to everyone and hangs up; None: says nothing."""

    def __init__(self, sent: bytes | None) -> None:
        self._sent = sent
        self._server = socket.create_server(("127.0.0.1", 0))
        self._held: list[socket.socket] = []

    def __enter__(self) -> int:
        threading.Thread(target=self._serve, daemon=True).start()
        return int(self._server.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._server.close()
        for held in self._held:
            held.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            if self._sent is None:
                self._held.append(connection)
                continue
            with connection:
                connection.recv(65536)
                connection.sendall(self._sent)
