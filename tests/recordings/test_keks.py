"""A month's key goes when nothing needs it any more, and a copy of the keyring needs two people."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.db import DatabaseError, connection, transaction

from audit import clock
from audit.models import Event
from recordings import escrow
from recordings.keyring import FileKeyring, KeyMissing, kek_name
from recordings.models import Conversation, DestroyedKek, Rewrap
from recordings.operations import escrow as copies
from recordings.operations import keks
from recordings.operations.keks import destroy_past
from recordings.operations.uses import rewrap
from tests.harness.commands import manage
from tests.retention.centre import Centre


@pytest.fixture
def centre(stage):
    """A company at work, on the stage of this test."""
    return Centre(stage)


@pytest.fixture
def past(centre):
    """The name of a month's key that is past, and that nothing has needed for long."""
    name = kek_name(controller_id=centre.controller.pk, month="2026-01")
    centre.keyring.get_or_create(name)
    return name


def run(centre: Centre, **more):
    """One run, with the rights of who destroys keys."""
    with centre.stage.acting_as("keys"):
        return destroy_past(keyring=centre.keyring, now=clock.now(), **more)


class TestDestroyPast:
    def test_destroys_nothing_that_is_in_use_or_to_be(self, centre, past):
        month_ago = clock.now() - timedelta(days=40)
        (kept,) = centre.capture(destroy_after=month_ago)
        centre.capture(destroy_after=clock.now() + timedelta(days=400))
        open_key = kek_name(controller_id=centre.controller.pk, month=None)
        centre.keyring.get_or_create(open_key)
        before = set(centre.keyring.names())

        tally = run(centre)

        assert (tally.destroyed, tally.in_use) == ([past], [kept.kek_name])
        assert set(centre.keyring.names()) == before - {past}
        with pytest.raises(KeyMissing):
            centre.keyring.get(past)

    def test_says_so_in_the_company_s_log_and_remembers_it(self, centre, past):
        run(centre)

        row = DestroyedKek.objects.get()
        assert row.kek_name == past
        assert row.last_copy_lapses_at - row.destroyed_at == timedelta(days=30)
        event = Event.objects.get(event_type="kek.destroyed")
        assert event.log == str(centre.controller.pk)
        assert json.loads(event.body)["x"]["from"] == "2026-01-01T00:00:00.000000Z"
        assert run(centre).destroyed == []

    def test_a_dry_run_destroys_nothing(self, centre, past):
        assert run(centre, is_dry_run=True).destroyed == [past]
        assert past in centre.keyring.names()

    def test_waits_until_no_backup_has_anything_wrapped_with_it(self, centre):
        (moved,) = centre.capture(destroy_after=clock.now() - timedelta(days=40))
        old = moved.kek_name
        Conversation.objects.filter(pk=moved.pk).update(
            destroy_after=clock.now() + timedelta(days=400)
        )
        with centre.stage.acting_as("work"):
            rewrap(conversation=moved, keyring=centre.keyring)
        assert Rewrap.objects.get().kek_name == old

        assert run(centre).wait_for_backups == [old]
        Rewrap.objects.update(day=clock.now().date() - timedelta(days=35))
        assert run(centre).wait_for_backups == [old]
        Rewrap.objects.update(day=clock.now().date() - timedelta(days=36))
        assert run(centre).destroyed == [old]

    def test_what_was_destroyed_needs_no_waiting(self, centre):
        (due,) = centre.capture(destroy_after=clock.now() - timedelta(days=40))
        centre.purge()

        assert run(centre).destroyed == [due.kek_name]
        assert not Rewrap.objects.exists()

    def test_leaves_a_key_with_which_somebody_wraps_just_now(self, centre, past, servers):
        import psycopg

        with psycopg.connect(centre.stage.environment("work")["DATABASE_URL"]) as other:
            other.execute(
                "SELECT pg_advisory_xact_lock_shared(%s, hashtext(%s))", [keks._LOCK, past]
            )
            assert run(centre).in_use == [past]

        assert run(centre).destroyed == [past]

    def test_without_the_log_no_key_is_destroyed(self, centre, past):
        with connection.cursor() as cursor:
            cursor.execute(
                "REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_keys"
            )

        with pytest.raises(DatabaseError):
            run(centre)

        assert past in centre.keyring.names()

    def test_its_role_reads_nothing_else_of_conversations(self, centre):
        centre.capture()
        with centre.stage.acting_as("keys"):
            for column in ("wrapped_key", "external_id", "ended_at"):
                with pytest.raises(DatabaseError), transaction.atomic():
                    list(Conversation.objects.values_list(column))

    def test_as_a_command(self, centre, past):
        done = manage(centre.stage, "destroy_keks", "--json", role="keys")

        assert (done.code, done.answer["destroyed"]) == (0, [past]), done.err


PEOPLE = {name: X25519PrivateKey.generate() for name in ("anna", "bertil", "cilla")}
PUBLIC = {name: key.public_key() for name, key in PEOPLE.items()}


class TestEscrow:
    def test_any_two_open_it_and_nobody_alone(self):
        keys = {"quarantine": os.urandom(32), "hash/x": os.urandom(32)}
        data = escrow.seal(keys, people=PUBLIC, made_at=_at())

        for pair in (("anna", "bertil"), ("cilla", "anna"), ("bertil", "cilla")):
            opened = escrow.unseal(data, private_keys=[PEOPLE[name] for name in pair])
            assert opened.keys == keys
        stranger = X25519PrivateKey.generate()
        for few in ([PEOPLE["anna"]], [PEOPLE["anna"]] * 2, [PEOPLE["anna"], stranger], []):
            with pytest.raises(escrow.CopyDoesNotOpen):
                escrow.unseal(data, private_keys=few)
        assert all(key not in data for key in keys.values())

    def test_is_for_two_people_or_more(self):
        one = {"anna": PUBLIC["anna"]}
        twice = {"anna": PUBLIC["anna"], "anna2": PUBLIC["anna"]}
        for people in ({}, one, twice):
            with pytest.raises(ValueError, match="two"):
                escrow.seal({}, people=people, made_at=_at())

    def test_what_was_altered_does_not_open(self):
        data = escrow.seal({"quarantine": os.urandom(32)}, people=PUBLIC, made_at=_at())
        pair = [PEOPLE["anna"], PEOPLE["bertil"]]
        said = json.loads(data)

        for name, value in (
            ("made_at", "2027-01-01T00:00:00.000000Z"),
            ("keys", 2),
            ("body", "AA=="),
        ):
            with pytest.raises(escrow.CopyDoesNotOpen):
                escrow.unseal(json.dumps({**said, name: value}).encode(), private_keys=pair)
        for nothing in (b"", b"[]", b"{}", data[:-9]):
            with pytest.raises(escrow.CopyDoesNotOpen):
                escrow.unseal(nothing, private_keys=pair)

    def test_restores_what_is_missing_and_nothing_that_was_destroyed(self, centre, past, tmp_path):
        (kept,) = centre.capture(destroy_after=clock.now() + timedelta(days=400))
        with centre.stage.acting_as("keys"):
            path = copies.copy(
                keyring=centre.keyring, people=PUBLIC, folder=tmp_path, now=clock.now()
            )
        run(centre)
        lost = FileKeyring.prepare(tmp_path / "new")
        there = lost.get_or_create(kek_name(controller_id=centre.controller.pk, month=None))

        with centre.stage.acting_as("keys"):
            done = copies.restore(
                data=path.read_bytes(),
                private_keys=[PEOPLE["anna"], PEOPLE["cilla"]],
                keyring=lost,
                now=clock.now(),
            )

        assert done.destroyed == [past]
        assert kept.kek_name in done.restored
        assert lost.get(kept.kek_name) == centre.keyring.get(kept.kek_name)
        assert past not in lost.names()
        assert lost.get(kek_name(controller_id=centre.controller.pk, month=None)) == there
        names = Event.objects.filter(event_type__startswith="keyring.").values_list("event_type")
        assert sorted(name for (name,) in names) == ["keyring.escrowed", "keyring.restored"]

    def test_as_commands_with_keys_that_openssl_made(self, centre, past, tmp_path):
        for name in ("anna", "bertil"):
            _openssl("genpkey", "-algorithm", "X25519", "-out", tmp_path / f"{name}.key")
            _openssl(
                "pkey", "-in", tmp_path / f"{name}.key", "-pubout", "-out", tmp_path / f"{name}.pem"
            )
        public = [f"--person={tmp_path}/{name}.pem" for name in ("anna", "bertil")]
        private = [f"--key={tmp_path}/{name}.key" for name in ("anna", "bertil")]
        made = manage(
            centre.stage, "keyring", "escrow", *public, f"--to={tmp_path}", "--json", role="keys"
        )
        key = centre.keyring.get(past)
        (Path(centre.stage.keys) / past).unlink()

        back = manage(
            centre.stage, "keyring", "restore", made.answer["copy"], *private, "--json", role="keys"
        )
        listed = manage(
            centre.stage,
            "keyring",
            "due",
            str(tmp_path),
            "--json",
            role="keys",
            KEYRING_ESCROW_KEPT_DAYS="0",
        )

        assert (made.code, back.code) == (0, 0), made.err + back.err
        assert back.answer["restored"] == 1
        assert centre.keyring.get(past) == key
        assert (listed.code, listed.answer["due"]) == (1, [Path(made.answer["copy"]).name])


def _at():
    from datetime import UTC, datetime

    return datetime(2026, 11, 27, 2, 0, tzinfo=UTC)


def _openssl(*arguments) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
