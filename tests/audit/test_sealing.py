"""Every committed event gets one place in its log's tree, whoever writes and whoever seals."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection, transaction

from audit import clock, trees, verify
from audit.events import EventType
from audit.merkle import leaf_hash
from audit.models import Checkpoint, Event, Leaf, SealingKey
from audit.notes import VerifierKey
from audit.operations import append, open_log
from audit.operations.sealing import (
    Sealer,
    TreeAltered,
    introduce_key,
    origin_name,
    waiting_logs,
)
from audit.sealing_keys import SealingKeys, SealingKeysUnavailable
from tests.audit.given import happened, played, rows, run, signed_in
from tests.harness.session import ROOT

pytestmark = pytest.mark.django_db
LOG = "installation"
SEALS_WITHOUT_END = """
import os, django
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()
from audit import clock
from audit.operations.sealing import Sealer
from audit.sealing_keys import SealingKeys
keys = SealingKeys.from_settings()
print("ready", flush=True)
while True:
    Sealer(keys).seal(log="installation", now=clock.now(), limit=20)
"""


@pytest.fixture
def keys(tmp_path):
    made = SealingKeys(tmp_path / "seal-keys")
    introduce_key(keys=made, now=clock.now())
    return made


def seal(keys, log=LOG, limit=None):
    return Sealer(keys).seal(log=log, now=clock.now(), limit=limit)


def trusted(log=LOG):
    return [
        str(VerifierKey(origin_name(log, 1), bytes(key)))
        for key in SealingKey.objects.order_by("number").values_list("public_key", flat=True)
    ]


def check_tree(log=LOG):
    """Reckon the tree anew from the events, and compare all that was kept and signed."""
    leaves = list(Leaf.objects.filter(log=log).order_by("leaf_index"))
    bodies = dict(Event.objects.filter(log=log).values_list("id", "body"))
    assert [leaf.leaf_index for leaf in leaves] == list(range(len(leaves)))
    assert [bytes(leaf.hash) for leaf in leaves] == [
        leaf_hash(bodies[leaf.event].encode()) for leaf in leaves
    ]
    for checkpoint in Checkpoint.objects.filter(log=log):
        head = verify.open_note(checkpoint.note, trusted(log))
        assert head == (origin_name(log, 1), checkpoint.size, bytes(checkpoint.root))
        assert trees.tree(log=log, size=checkpoint.size).root() == head.root
    return leaves


class TestSeal:
    def test_gives_events_their_place_and_signs_the_head(self, acting_as, keys):
        for _ in range(3):
            happened(played())

        with acting_as("seal"):
            done = seal(keys)

        assert (done.events, done.size, done.is_more) == (4, 4, False)  # the key's event too
        assert len(check_tree()) == 4
        assert waiting_logs() == []

    def test_of_an_event_can_be_proven_to_others(self, keys):
        happened(signed_in())
        seal(keys)
        event = Event.objects.latest("id")
        leaf = trees.leaf_of(event=event.id)
        newest = trees.newest_checkpoint(log=LOG)

        path = trees.tree(log=LOG, size=newest.size).inclusion_proof(leaf.leaf_index)

        head = verify.open_note(newest.note, trusted())
        verify.check_inclusion(
            verify.leaf_hash(event.body.encode()), leaf.leaf_index, head.size, path, head.root
        )
        with pytest.raises(verify.Tampered):
            verify.check_inclusion(
                verify.leaf_hash(b"other"), leaf.leaf_index, head.size, path, head.root
            )

    def test_goes_on_where_it_stopped_whoever_goes_on(self, keys):
        for number in range(700):
            happened(signed_in() if number % 7 else played())
            if number % 97 == 0:
                seal(keys, limit=50)
        while (done := seal(keys, limit=50)) and done.is_more:
            pass

        assert len(check_tree()) == Event.objects.filter(log=LOG).count()

    def test_keeps_each_companys_log_apart(self, keys):
        company = uuid4()
        open_log(log=company)
        happened(signed_in())
        happened(signed_in(log=company))

        assert waiting_logs() == sorted([str(company), LOG])
        seal(keys, log=str(company))

        assert Leaf.objects.filter(log=str(company)).count() == 1
        check_tree(str(company))

    def test_a_second_time_does_nothing(self, keys):
        seal(keys)

        assert seal(keys) is None

    def test_what_is_rolled_back_is_neither_sealed_nor_missed(self, keys):
        with pytest.raises(RuntimeError), transaction.atomic():
            append(**signed_in())
            raise RuntimeError
        happened(signed_in())

        seal(keys)

        assert len(check_tree()) == Event.objects.filter(log=LOG).count()

    def test_stops_at_a_tree_that_was_altered(self, keys):
        for _ in range(3):
            happened(signed_in())
        seal(keys)
        run("ALTER TABLE audit_leaf DISABLE TRIGGER USER")
        run("UPDATE audit_leaf SET hash = sha256('x') WHERE leaf_index = 1")
        happened(signed_in())

        with pytest.raises(TreeAltered):
            seal(keys)

        assert waiting_logs() == [LOG]

    def test_says_so_when_an_event_vanished_before_it_was_sealed(self, keys):
        happened(signed_in())
        run("ALTER TABLE audit_event DISABLE TRIGGER USER")
        run("DELETE FROM audit_event WHERE id = (SELECT max(id) FROM audit_event)")
        run("ALTER TABLE audit_event ENABLE TRIGGER USER")

        done = seal(keys)

        assert done.vanished == 1
        assert Event.objects.latest("id").event_type == EventType.INCIDENT_RAISED

    def test_fails_closed_without_its_key(self, tmp_path, keys):
        happened(signed_in())

        with pytest.raises(SealingKeysUnavailable):
            seal(SealingKeys(tmp_path / "empty"))

        assert waiting_logs() == [LOG]


class TestManyWriters:
    def test_every_committed_event_is_sealed_once_in_the_order_of_commits(self, stage, keys):
        """
        Transactions of random length, some rolled back; two sealers, each step a new one.

        Beside them a sealer as a process of its own, which is killed again and again.
        """
        stop = threading.Event()

        def write(number: int) -> tuple[UUID, list[UUID]]:
            chance, conversation, committed = random.Random(number), uuid4(), []
            with closing(connection):
                for _ in range(12):
                    with transaction.atomic():
                        written = [
                            append(**played(conversation=conversation))
                            for _ in range(chance.randint(1, 4))
                        ]
                        run(f"SELECT pg_sleep({chance.random() / 50})")
                        is_kept = chance.random() < 0.75
                        transaction.set_rollback(not is_kept)
                    committed += written if is_kept else []
            return conversation, committed

        def go_on_sealing() -> None:
            with closing(connection):
                while not stop.is_set():
                    seal(keys, limit=20)

        def be_killed() -> int:
            kills = 0
            while not stop.is_set():
                process = subprocess.Popen(
                    [sys.executable, "-c", SEALS_WITHOUT_END],
                    cwd=ROOT,
                    env={"PATH": os.environ["PATH"], **stage.environment("seal")},
                    stdout=subprocess.PIPE,
                )
                assert process.stdout
                process.stdout.readline()
                stop.wait(random.Random(kills).random() / 5)
                process.kill()
                process.communicate()
                kills += 1
            return kills

        with ThreadPoolExecutor(35) as threads:
            sealers = [threads.submit(go_on_sealing) for _ in range(2)]
            killed = threads.submit(be_killed)
            done = [threads.submit(write, number) for number in range(32)]
            expected = dict(writer.result() for writer in done)
            stop.set()
            for sealer in sealers:
                sealer.result()
            assert killed.result() >= 1
        while seal(keys):
            pass

        place = {leaf.event: leaf.leaf_index for leaf in check_tree()}
        assert len(place) == Event.objects.filter(log=LOG).count()
        for conversation, committed in expected.items():
            found = Event.objects.filter(conversation=conversation)
            in_order = sorted(found, key=lambda event: place[event.id])
            assert [event.event_id for event in in_order] == committed


class TestKeys:
    def test_the_first_is_made_and_recorded_in_every_log(self, tmp_path):
        company = uuid4()
        open_log(log=company)

        name = introduce_key(keys=SealingKeys(tmp_path / "keys"), now=clock.now())

        assert name == SealingKey.objects.get().fingerprint
        events = Event.objects.filter(event_type=EventType.SEALING_KEY_INTRODUCED)
        assert sorted(events.values_list("log", flat=True)) == sorted([str(company), LOG])

    def test_a_second_time_does_nothing(self, keys):
        assert introduce_key(keys=keys, now=clock.now()) is None

    def test_a_new_one_is_handed_over_to_by_the_old(self, keys):
        happened(signed_in())
        seal(keys)
        (old,) = trusted()
        keys.create(now=clock.now().replace(year=2099))
        introduce_key(keys=keys, now=clock.now())
        seal(keys)
        handed_over = trees.newest_checkpoint(log=LOG)
        happened(signed_in())
        seal(keys)

        new = trusted()[-1]
        assert verify.open_note(handed_over.note, [old]).size == handed_over.size
        assert verify.open_note(handed_over.note, [new]).size == handed_over.size
        with pytest.raises(verify.Incomplete):
            verify.open_note(trees.newest_checkpoint(log=LOG).note, [old])

    def test_an_empty_folder_is_no_reason_for_a_new_one(self, tmp_path, keys):
        with pytest.raises(SealingKeysUnavailable):
            introduce_key(keys=SealingKeys(tmp_path / "lost"), now=clock.now())

    def test_a_folder_that_others_may_enter_is_refused(self, tmp_path, keys):
        (tmp_path / "seal-keys").chmod(0o755)

        with pytest.raises(SealingKeysUnavailable):
            keys.current()


class TestGrants:
    @pytest.mark.parametrize("role", ["web", "work", "purge"])
    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM audit_unsealed",
            "INSERT INTO audit_unsealed VALUES ('installation', 1, false, '2026-01-01')",
            "INSERT INTO audit_leaf VALUES ('installation', 9, 9, false, '2026-01-01', sha256(''))",
            "INSERT INTO audit_checkpoint VALUES ('a', 1, 'b', sha256(''), 'c', 'd', now())",
        ],
    )
    def test_only_the_sealer_seals(self, acting_as, role, statement):
        with acting_as(role), pytest.raises(DatabaseError, match="permission denied"):
            run(statement)

    @pytest.mark.parametrize(
        "table", ["leaf", "node", "checkpoint", "anchor", "origin", "sealing_key"]
    )
    def test_nobody_alters_what_is_sealed(self, keys, table):
        happened(signed_in())
        seal(keys)
        for statement in (f"DELETE FROM audit_{table}", f"TRUNCATE audit_{table} CASCADE"):
            if rows(f"SELECT 1 FROM audit_{table} LIMIT 1") or "TRUNCATE" in statement:
                with pytest.raises(DatabaseError, match="never altered"), transaction.atomic():
                    run(statement)

    def test_the_sealer_reads_no_people_and_alters_no_events(self, acting_as):
        with acting_as("seal"):
            for statement in (
                "SELECT * FROM accounts_user",
                "DELETE FROM audit_event",
                "SELECT * FROM audit_detail",
            ):
                with pytest.raises(DatabaseError, match=r"denied|never"), transaction.atomic():
                    run(statement)
