"""Every sealed event reaches every destination at least once, whoever is killed on the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, transaction

from audit import clock
from audit.events import EventType, Outcome
from audit.models import Event, Leaf, Stream, StreamCursor
from audit.operations import append_many
from audit.operations.sealing import Sealer, introduce_key
from audit.operations.streaming import direct, move_cursor, note_failure
from audit.sealing_keys import SealingKeys
from audit.streaming import destinations, following, https, streamer
from audit.streaming.lag import lags
from audit.streaming.senders import NotDelivered
from audit.streaming.streamer import Streamer
from tests.audit.given import events, happened, insert, new, played, run, signed_in
from tests.harness.commands import manage
from tests.harness.receivers import CLIENT, Authority, collector, needs_rsyslog, rsyslog, wait_until
from tests.harness.session import ROOT

pytestmark = pytest.mark.django_db
LOG = "installation"


@pytest.fixture
def authority(database, tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def keys(stage):
    made = SealingKeys(stage.keys.parent / "seal-keys")
    introduce_key(keys=made, now=clock.now())
    return made


def seal(keys):
    sealer = Sealer(keys)
    for log in set(Event.objects.values_list("log", flat=True)):
        while sealer.seal(log=log, now=clock.now()):
            pass


@transaction.atomic
def happened_often(count):
    append_many(events=[new(signed_in()) for _ in range(count)])


def in_order(log=LOG):
    """The identifiers of the sealed events of a log, in its order."""
    leaves = Leaf.objects.filter(log=log).order_by("leaf_index").values_list("event", flat=True)
    ids = dict(Event.objects.values_list("id", "event_id"))
    return [str(ids[event]) for event in leaves]


def to(receiver, authority, *, kind="https", name="siem", **given):
    """Direct the log to a receiver of this test."""
    place = f"{kind}://localhost:{getattr(receiver, 'port', receiver)}"
    path = authority.ca.with_name("destinations.toml")
    table = {"to": place, "ca": str(authority.ca), **given}
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    path.write_text("\n".join([f"[{name}]", *lines, ""]))
    (destination,) = found = destinations.read(path)
    direct(destinations=found, now=clock.now())
    return destination


def by_syslog(receiver, authority, **given):
    certificate, key = map(str, authority.server(CLIENT))
    shown = {"certificate": certificate, "key": key, **given}
    return to(receiver, authority, kind="syslog+tls", settle_seconds=0.3, **shown)


def drain(destination):
    """Send what waits, as one who comes and goes."""
    one = Streamer(destination)
    while one.step():
        pass
    connection.close()


@contextmanager
def streaming(destination):
    """Stream beside the test, as the role that is acted as."""
    stop = threading.Event()
    thread = threading.Thread(target=Streamer(destination).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def has_arrived():
    return all(each.behind == 0 for each in lags(now=clock.now()))


@needs_rsyslog
class TestSyslog:
    def test_brings_each_event_as_it_was_sealed(self, acting_as, authority, tmp_path, keys):
        happened(played())
        happened(signed_in(event_type=EventType.SESSION_REFUSED, outcome=Outcome.DENY))
        with rsyslog(tmp_path / "siem", authority) as receiver:
            destination = by_syslog(receiver, authority)
            seal(keys)

            with acting_as("stream"):
                drain(destination)

            arrived = receiver.messages()
        bodies = dict(Event.objects.values_list("event_id", "body"))
        assert [json.loads(each.body)["id"] for each in arrived] == in_order()
        assert {each.body for each in arrived} == set(bodies.values())
        refused = next(each for each in arrived if each.message_id == "session.refused")
        assert (refused.priority, refused.app) == (13 * 8 + 4, "tallenne")
        assert f'id="{json.loads(refused.body)["id"]}" log="installation" leaf="2"' in (
            refused.structured_data
        )

    def test_loses_nothing_when_the_receiver_is_killed_and_comes_back(
        self, acting_as, authority, tmp_path, keys, monkeypatch
    ):
        monkeypatch.setattr(streamer, "PAUSE_SECONDS", 0.05)
        with rsyslog(tmp_path / "siem", authority) as receiver:
            destination = by_syslog(receiver, authority)
            with acting_as("stream"), streaming(destination):
                for _ in range(3):
                    before = receiver.count()
                    with acting_as("owner"):
                        happened_often(1_000)
                        seal(keys)
                    wait_until(lambda: receiver.count() > before, what="lines")  # noqa: B023
                    receiver.kill()
                    receiver.start()
                wait_until(has_arrived, what="all has arrived")

            arrived = {json.loads(each.body)["id"] for each in receiver.messages()}
        assert arrived == set(in_order())

    def test_a_receiver_that_refuses_us_has_taken_nothing(self, authority, tmp_path, keys):
        stranger = Authority(tmp_path, "stranger").server(CLIENT)
        with rsyslog(tmp_path / "siem", authority) as receiver:
            destination = by_syslog(
                receiver, authority, certificate=str(stranger[0]), key=str(stranger[1])
            )
            seal(keys)

            with pytest.raises(NotDelivered):
                Streamer(destination).step()

            assert receiver.count() == 0
        assert not StreamCursor.objects.exists()

    def test_keeps_an_event_on_one_line_whatever_is_in_it(self, authority, tmp_path, keys):
        body = json.dumps(
            {
                "v": 1,
                "id": str(uuid4()),
                "ts": "2026-05-01T00:00:00.000000Z",
                "act": {"t": "user", "ref": "x"},
                "op": 'x\n{"event"\r\u2028 ]',
                "out": "allow\n",
            },
            indent=1,
            ensure_ascii=False,
        )
        insert(LOG, False, body)
        with rsyslog(tmp_path / "siem", authority) as receiver:
            destination = by_syslog(receiver, authority)
            seal(keys)

            drain(destination)

            arrived = [json.loads(each.body) for each in receiver.messages()]
        assert len(arrived) == Event.objects.count()
        assert json.loads(body) in arrived


class TestTls:
    @pytest.mark.parametrize("kind", ["https", "syslog+tls"])
    @pytest.mark.parametrize("wrong", ["authority", "name"])
    def test_a_receiver_that_is_not_who_it_should_be_gets_nothing(
        self, authority, tmp_path, keys, kind, wrong
    ):
        other = Authority(tmp_path, "other")
        shown = other.server() if wrong == "authority" else authority.server("elsewhere")
        with collector(shown) as receiver:
            destination = to(receiver, authority, kind=kind)
            seal(keys)

            with pytest.raises(NotDelivered, match=r"tls\.refused"):
                Streamer(destination).step()

        assert receiver.posts == []

    @pytest.mark.parametrize("kind", ["https", "syslog+tls"])
    def test_a_receiver_that_speaks_no_tls_gets_nothing(self, authority, keys, kind):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            heard = []

            def answer():
                with listener.accept()[0] as plain:
                    heard.append(plain.recv(65_536))
                    plain.sendall(b"welcome\r\n" * 10)

            thread = threading.Thread(target=answer)
            thread.start()
            destination = to(listener.getsockname()[1], authority, kind=kind)
            seal(keys)

            with pytest.raises(NotDelivered, match=r"tls\.refused"):
                Streamer(destination).step()
            thread.join()

        assert b"stream.directed" not in heard[0]

    @pytest.mark.parametrize("manner", ["silently", "before us", "too soon"])
    def test_what_a_receiver_does_not_confirm_has_not_arrived(self, authority, keys, manner):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.server())
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def read_and_leave():
                secured = context.wrap_socket(listener.accept()[0], server_side=True)
                # To be left alone is an error to whoever waits to be answered.
                with closing(secured), suppress(OSError):
                    secured.recv(65_536)
                    if manner == "before us":
                        secured.unwrap()
                    elif manner == "too soon":
                        # It would answer, and dies before what it has read can have been written.
                        secured.settimeout(0.1)
                        secured.recv(65_536)
                        secured.unwrap()
                    else:
                        while secured.recv(65_536):
                            pass

            thread = threading.Thread(target=read_and_leave)
            thread.start()
            destination = by_syslog(listener.getsockname()[1], authority)
            seal(keys)

            with pytest.raises(NotDelivered, match="not_confirmed"):
                Streamer(destination).step()
            thread.join()

        assert not StreamCursor.objects.exists()


class TestHttps:
    def test_posts_bodies_as_they_were_sealed(self, acting_as, authority, keys):
        token = authority.ca.with_name("token")
        token.write_text("Bearer abc\n")
        happened(played())
        with collector(authority.server()) as receiver:
            destination = to(receiver, authority, authorization=str(token))
            seal(keys)

            with acting_as("stream"):
                drain(destination)

        (post,) = receiver.posts
        bodies = dict(Event.objects.values_list("event_id", "body"))
        assert set(post.content.decode().splitlines()) == set(bodies.values())
        assert post.events == in_order()
        assert post.headers["Content-Type"] == "application/x-ndjson"
        assert post.headers["Authorization"] == "Bearer abc"
        assert post.headers["Idempotency-Key"].startswith('"installation:0-3:')

    def test_loses_nothing_and_keeps_the_order_whatever_it_is_answered(
        self, acting_as, authority, keys, monkeypatch
    ):
        monkeypatch.setattr(https, "ANSWER_SECONDS", 0.3)
        monkeypatch.setattr(https.HttpsSender, "events", 10)
        monkeypatch.setattr(streamer, "PAUSE_SECONDS", 0.01)
        happened_often(60)
        answers = (200, 500, 503, "drop", 200, "hang", 302, 200, 413)
        with collector(authority.server(), *answers) as receiver:
            destination = to(receiver, authority)
            seal(keys)
            with acting_as("stream"), streaming(destination):
                wait_until(has_arrived, what="all has arrived")

        assert [event for post in receiver.taken for event in post.events] == in_order()
        # Sent in vain and sent again, a post is the same to the byte, under the same key.
        keyed = {post.headers["Idempotency-Key"]: post.content for post in receiver.posts}
        assert len(keyed) == len(receiver.taken) == 7
        assert len(receiver.posts) == 7 + len(answers) - 3

    @pytest.mark.parametrize("content", [None, "Bearer a\nX-Other: b", "Bearer ä"])
    def test_without_a_sound_authorization_sends_nothing(self, authority, keys, content):
        token = authority.ca.with_name("token")
        if content:
            token.write_text(content)
        with collector(authority.server()) as receiver:
            destination = to(receiver, authority, authorization=str(token))
            seal(keys)

            with pytest.raises(NotDelivered, match="credentials"):
                Streamer(destination).step()

        assert receiver.posts == []

    def test_waits_as_long_as_the_receiver_asks(self, authority, keys):
        with collector(authority.server(), 503) as receiver:
            destination = to(receiver, authority)
            seal(keys)

            with pytest.raises(NotDelivered, match=r"http\.503") as refused:
                Streamer(destination).step()

        assert refused.value.retry_after_seconds == 1


class TestFollowing:
    def test_passes_over_what_was_cut_and_counts_it(self, authority, keys):
        happened_often(5)
        with collector(authority.server()) as receiver:
            destination = to(receiver, authority)
            seal(keys)
            run("ALTER TABLE audit_event DISABLE TRIGGER USER")
            run("DELETE FROM audit_event WHERE event_type = 'session.signed_in'")
            run("ALTER TABLE audit_event ENABLE TRIGGER USER")

            drain(destination)

        assert len(receiver.posts[0].events) == 2
        cursor = StreamCursor.objects.get()
        assert (cursor.next_index, cursor.missing) == (7, 5)

    def test_follows_each_log_for_itself(self, authority, keys, companies):
        for company in companies.values():
            happened(signed_in(log=company.id))
        with collector(authority.server()) as receiver:
            destination = to(receiver, authority)
            seal(keys)
            drain(destination)
            happened(signed_in(log=companies["Onni"].id))
            seal(keys)

            drain(destination)

        assert len(receiver.posts) == 4
        assert receiver.posts[-1].events == in_order(str(companies["Onni"].id))[-1:]

    def test_a_stretch_is_cut_to_what_a_receiver_takes(self, keys):
        happened_often(9)
        seal(keys)
        first = following.stretch(log=LOG, first=0, events=100, largest_bytes=1_000)

        assert 0 < len(first.events) < 10
        assert len("".join(each.body for each in first.events)) <= 1_000
        assert first.until == len(first.events)

    def test_two_at_once_do_no_harm(self, acting_as, authority, keys):
        happened_often(3)
        with collector(authority.server()) as receiver:
            destination = to(receiver, authority)
            seal(keys)
            with acting_as("stream"), streaming(destination), streaming(destination):
                wait_until(has_arrived, what="all has arrived")

        assert [event for post in receiver.posts for event in post.events] == in_order()

    def test_goes_on_where_it_was_killed(self, stage, authority, keys):
        happened_often(30)
        with collector(authority.server(), 200, "hang") as receiver:
            destination = to(receiver, authority)
            seal(keys)
            environment = {
                "PATH": os.environ["PATH"],
                **stage.environment("stream"),
                "AUDIT_STREAM_FILE": str(authority.ca.with_name("destinations.toml")),
            }
            command = [sys.executable, "manage.py", "stream_audit"]
            killed = subprocess.Popen(command, cwd=ROOT, env=environment)
            wait_until(has_arrived, what="the first have arrived")
            happened_often(30)
            seal(keys)
            wait_until(lambda: len(receiver.posts) == 2, what="a second post")
            killed.kill()
            killed.wait()

            goes_on = subprocess.Popen(command, cwd=ROOT, env=environment)
            wait_until(has_arrived, what="all has arrived")
            goes_on.send_signal(signal.SIGTERM)

            assert goes_on.wait() == 0
        assert [event for post in receiver.taken for event in post.events] == in_order()
        assert destination.address == Stream.objects.get().address


class TestCursor:
    def test_moves_from_where_it_stands_alone(self, authority):
        destination = to(1, authority)
        for first, until in ((0, 5), (0, 3), (5, 6), (7, 9)):
            arrived = following.Stretch(LOG, first, until, [])
            move_cursor(destination=destination.name, arrived=arrived, now=clock.now())

        assert StreamCursor.objects.get().next_index == 6


class TestEvents:
    def test_say_where_to_when_that_changes(self, authority):
        to(1, authority)
        to(1, authority)
        to(2, authority)
        direct(destinations=[], now=clock.now())
        direct(destinations=[], now=clock.now())

        assert events(EventType.STREAM_DIRECTED).count() == 2
        assert events(EventType.STREAM_ENDED).count() == 1
        assert Stream.objects.get().ended_at is not None

    def test_raise_one_incident_for_each_outage(self, authority):
        to(1, authority)
        arrived = following.Stretch(LOG, 0, 1, [])
        incidents = events(EventType.INCIDENT_RAISED)

        def fails(*minutes):
            for each in minutes:
                at = clock.now() + timedelta(minutes=each)
                note_failure(destination="siem", error="unreachable", now=at)
            return incidents.count()

        assert fails(0, 14) == 0
        assert fails(15, 16, 60) == 1
        move_cursor(destination="siem", arrived=arrived, now=clock.now())
        assert fails(61, 75) == 1
        assert fails(77) == 2
        assert '"error":"unreachable","kind":"stream_failing"' in incidents.latest("id").body


class TestRole:
    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM audit_event",
            "DELETE FROM audit_stream_cursor",
            "DELETE FROM audit_leaf",
            "SELECT * FROM audit_detail",
            "SELECT * FROM accounts_user",
            "SELECT * FROM audit_unsealed",
        ],
    )
    def test_may_nothing_else(self, acting_as, statement):
        with acting_as("stream"), pytest.raises(DatabaseError, match=r"denied|never"):
            run(statement)


class TestCommand:
    def test_one_that_takes_nothing_holds_up_no_other(self, stage, authority, keys):
        with collector(authority.server()) as receiver:
            to(receiver, authority)
            path = authority.ca.with_name("destinations.toml")
            path.write_text(f'[dead]\nto = "syslog+tls://localhost:1"\n{path.read_text()}')
            seal(keys)

            done = manage(
                stage, "stream_audit", "--once", role="stream", AUDIT_STREAM_FILE=str(path)
            )

        assert (done.code, len(receiver.posts)) == (1, 1), done.printed
        assert "dead takes nothing: unreachable" in done.printed
        dead, siem = lags(now=clock.now())
        assert (dead.error, dead.behind, siem.error, siem.behind) == ("unreachable", 2, None, 0)
        assert dead.lag_seconds > 0

    def test_says_how_far_behind_it_is(self, stage, authority, keys):
        to(1, authority)
        seal(keys)

        done = manage(stage, "stream_audit", "--status", "--json", role="stream")

        (said,) = done.answer["destinations"]
        assert (said["destination"], said["behind"]) == ("siem", 2), done.printed


class TestDestinations:
    @pytest.mark.parametrize(
        "text",
        [
            "[siem",
            "siem = 1",
            "[siem]",
            '[siem]\nto = "http://siem.example"',
            '[siem]\nto = "syslog://siem.example"',
            '[siem]\nto = "https://user:secret@siem.example"',
            '[siem]\nto = "https://siem.example:port"',
            '[siem]\nto = "syslog+tls://siem.example/path"',
            '[siem]\nto = "https://siem.example"\nverify = false',
            '[siem]\nto = "https://siem.example"\nsettle_seconds = 61',
            '[Siem]\nto = "https://siem.example"',
        ],
    )
    def test_that_cannot_be_are_refused(self, tmp_path, text):
        path = tmp_path / "destinations.toml"
        path.write_text(text)

        with pytest.raises(destinations.DestinationsUnusable):
            destinations.read(path)

    def test_have_the_ports_that_are_usual(self, tmp_path):
        path = tmp_path / "destinations.toml"
        path.write_text('[a]\nto = "syslog+tls://a.example"\n[b]\nto = "https://b.example/x?y=z"')

        a, b = destinations.read(path)

        assert (a.address, b.address) == ("syslog+tls://a.example:6514", "https://b.example:443")
        assert b.path == "/x?y=z"
