"""Law 10: administering is not listening: not for the superuser, nor for whoever has the disks."""

from __future__ import annotations

import base64
import mmap
import os
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import redis
from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.models import Permission

from accounts.models import User
from audit.models import Event
from config.servers import Servers, postgresql, unprivileged
from config.servers.identities import CONTENT_BUCKET
from recordings.formats.incoming import IncomingParty
from recordings.models import Conversation
from tests.factories import RATE, Centre, sound_of, wav
from tests.harness.roles import Stage
from tests.harness.session import DATA
from tests.laws import ways


@pytest.fixture
def superuser(centre: Centre) -> User:
    """Sulo, with every permission Django knows besides."""
    centre.sulo.user_permissions.set(Permission.objects.all())
    return centre.sulo


class TestSuperuser:
    def test_hears_and_reads_nothing_and_every_try_is_in_the_log(
        self, centre: Centre, superuser: User, signed_in: Callable
    ):
        kept = ways.kept(centre)
        sulo = signed_in(superuser)

        answers = [way(sulo, kept) for way in (*ways.CONTENT, ways.listing)]

        assert {answer.status for answer in answers} == {404}
        assert not [answer for answer in answers if ways.SPOKEN in answer.text]
        refused = Event.objects.filter(actor=str(superuser.reference))
        assert refused.exists()
        assert set(refused.values_list("outcome", flat=True)) == {"deny"}

    @pytest.mark.parametrize("purpose", ["coaching", "matter", "", "everything"])
    def test_not_even_by_naming_a_purpose(
        self, centre: Centre, superuser: User, signed_in: Callable, purpose: str
    ):
        kept = ways.kept(centre)
        centre.matter_of(kept.call)

        answer = signed_in(superuser).listen(kept.sound.pk, purpose=purpose)

        assert (answer.status, answer.body) == (404, b"")

    def test_the_rule_gives_nothing_to_her(self, centre: Centre, superuser: User):
        call = centre.call()

        for purpose in (centre.coaching, centre.matter):
            visible = Conversation.objects.open_to(
                user=superuser, purpose=purpose, at=call.captured_at
            )
            assert not visible.exists()

    def test_the_administrators_site_shows_no_conversation(
        self, centre: Centre, superuser: User, signed_in: Callable
    ):
        kept = ways.kept(centre)
        sulo = signed_in(superuser)

        index = sulo.get("/admin/")

        assert index.status == 200
        for path in (
            "/admin/recordings/conversation/",
            f"/admin/recordings/conversation/{kept.call.pk}/change/",
            f"/admin/recordings/dialog/{kept.sound.pk}/change/",
            "/admin/recordings/storedobject/",
            "/admin/recordings/party/",
        ):
            assert sulo.get(path).status == 404, path

    def test_the_administrators_site_changes_nobodys_way_in(
        self, centre: Centre, superuser: User, signed_in: Callable
    ):
        sulo = signed_in(superuser)
        address = EmailAddress.objects.get(user=centre.alice)
        mine = {"user": str(centre.alice.pk), "email": "sulo@example.com", "verified": "on"}

        answers = [
            sulo.post(f"/admin/{path}", data)
            for path, data in (
                ("account/emailaddress/add/", mine),
                (f"account/emailaddress/{address.pk}/change/", mine),
                (f"accounts/user/{centre.alice.pk}/change/", mine),
                ("accounts/teampermission/add/", {"user": str(superuser.pk)}),
                ("accounts/roleassignment/add/", {"user": str(superuser.pk)}),
            )
        ]

        assert {answer.status for answer in answers} <= {403, 404}
        assert list(EmailAddress.objects.filter(user=centre.alice)) == [address]
        centre.alice.refresh_from_db()
        assert centre.alice.email == "alice@example.com"


class TestWhoeverHasTheDisks:
    """A marker planted in all content is found nowhere on them, by any spelling."""

    def test_finds_no_content(
        self, centre: Centre, servers: Servers, stage: Stage, signed_in: Callable
    ):
        before, since = sizes_below(servers.data), time.time() - 1
        marker = f"TALLENNE-{uuid4().hex}"
        planted = plant(centre, marker)
        listen_to(planted, signed_in(centre.alice), marker)
        centre.matter_of(planted[0])
        control = plant_control(centre, servers)

        others = other_databases(servers, stage.database)
        found = {
            **search_files(servers.data, before, [marker, control], since=since, leave_out=others),
            "pg_dump": search(dump(servers, stage.database).encode(), [marker, control]),
            "broker": search(b"".join(_broker()), [marker, control]),
        }

        # The positive control lies in the open, and is found in the store and in the database.
        assert control in found["seaweedfs"]
        assert control in found["postgresql"]
        assert control in found["pg_dump"]
        assert {place: hits for place, hits in found.items() if marker in hits} == {}


def plant(centre: Centre, marker: str) -> list[Conversation]:
    """Capture the marker as sound, as names, as a file's name and as what was written."""
    someone = IncomingParty(
        role="customer", name=marker, identifiers=(("mailto", f"{marker}@example.com"),)
    )
    return [
        centre.call(body=noise_with(marker), seconds=1.0, customer=someone),
        centre.chat(marker, f"Again: {marker}"),
    ]


def noise_with(marker: str) -> bytes:
    """A second of noise with the marker in it: what the store cannot compress out of sight."""
    noise = bytearray(os.urandom(RATE * 4))
    for place in (0, RATE, RATE * 3):
        noise[place : place + len(marker)] = marker.encode()
    return wav(array("h", bytes(noise)))


def listen_to(planted: list[Conversation], alice, marker: str) -> None:
    """Have all of it read and heard, so that it passes every cache there is."""
    call, chat = planted
    assert marker.encode() in alice.listen(sound_of(call).pk).body
    assert marker in alice.get(f"/conversations/{chat.pk}/").text
    assert marker in alice.get(f"/conversations/{call.pk}/").text
    assert alice.get(f"/conversations/waveform/{sound_of(call).pk}").status == 200
    assert alice.get("/conversations/").status == 200


def plant_control(centre: Centre, servers: Servers) -> str:
    """Put something into store and database past our encryption, as it must not be done."""
    control = f"CONTROL-{uuid4().hex}"
    servers.s3("admin").put_object(
        Bucket=CONTENT_BUCKET, Key=f"2001/01/01/{uuid4()}/{uuid4()}", Body=noise_with(control)
    )
    centre.call(external_id=control)
    return control


def spellings(marker: str) -> Iterator[bytes]:
    """The marker as bytes, as PostgreSQL writes bytea, and in base64 at each of its offsets."""
    yield marker.encode()
    yield marker.encode("utf-16-le")
    yield marker.encode().hex().encode()
    for offset in range(3):
        yield base64.b64encode(b"\0" * offset + marker.encode())[4:-4]


def search(content: bytes | mmap.mmap, markers: list[str], *, beyond: int = 0) -> set[str]:
    """Give the markers that lie in the content beyond that place."""
    return {
        marker
        for marker in markers
        if any(content.find(spelling, beyond) >= 0 for spelling in spellings(marker))
    }


def sizes_below(folder: Path) -> dict[Path, int]:
    """Give the size of every file below the folder as it is now."""
    return {
        path: path.stat().st_size
        for root, _folders, names in os.walk(folder)
        for path in (Path(root) / name for name in names)
        if path.is_file()
    }


def other_databases(servers: Servers, own: str) -> set[str]:
    """Give the folders' names of the databases that belong to other tests."""
    with psycopg.connect(servers.superuser_url()) as connection:
        rows = connection.execute("SELECT oid FROM pg_database WHERE datname <> %s", [own])
        return {str(oid) for (oid,) in rows}


def search_files(
    folder: Path,
    before: dict[Path, int],
    markers: list[str],
    *,
    since: float,
    leave_out: set[str],
) -> dict[str, set[str]]:
    """
    Search what was written below the data folder since: by store, database, broker, logs.

    The store's volumes only grow: of those what has been added. Everything else in whole, but for
    the databases of other tests; what they share (WAL and the like) is searched.
    """
    found: dict[str, set[str]] = {}
    for path, size in sizes_below(folder).items():
        place = path.relative_to(folder).parts[0]
        if size == 0 or (before.get(path) == size and place == "seaweedfs"):
            continue
        if path.parent.parent.name == "base" and path.parent.name in leave_out:
            continue
        try:
            now = path.stat()
            if now.st_mtime < since or now.st_size == 0:
                continue
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as text:
                beyond = before.get(path, 0) if path.suffix == ".dat" else 0
                found.setdefault(place, set()).update(search(text, markers, beyond=beyond))
        except (FileNotFoundError, ValueError):
            continue  # gone, or emptied, since
    return found


def dump(servers: Servers, database: str) -> str:
    """All of one database as the wheel's own pg_dump writes it."""
    account = unprivileged.account()
    home = unprivileged.home(DATA, step_down_to=account)
    (program,) = home.glob(".pg0/installation/*/bin/pg_dump")
    installation = postgresql.Installation(home, program.parent, home / "cluster", account)
    return installation.run(program, f"--dbname={servers.superuser_url(database)}")


def _broker() -> list[bytes]:
    client = redis.Redis.from_url(settings.REDIS_URL)
    return [content for key in client.scan_iter() for content in (key, client.dump(key) or b"")]


def test_the_keys_lie_in_no_dump(centre: Centre, servers: Servers, stage):
    centre.call()
    dumped = dump(servers, stage.database)

    for name in centre.keyring().names():
        key = centre.keyring().get(name)
        assert key.hex() not in dumped
        assert base64.b64encode(key).decode() not in dumped
