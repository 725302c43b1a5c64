"""Whatever the database's owner alters in a sealed log is found, and the first bad row is named."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import call_command
from django.db import connection, transaction
from django.test import override_settings

from audit import anchoring, clock
from audit.events import Actor, EventType
from audit.merkle import Frontier
from audit.models import Event, Leaf
from audit.notes import Checkpoint as Head
from audit.notes import fingerprint, public_bytes
from audit.operations import append_many, open_log
from audit.operations.anchoring import anchor, restart
from audit.operations.sealing import Sealer, TreeAltered, introduce_key, origin_name
from audit.operations.verifying import logs_to_check, verify_and_tell
from audit.sealing_keys import SealingKeys
from audit.verification import checking
from audit.verification.checking import verify_log
from audit.verification.verdicts import State, Verdict
from tests.audit.given import go_back_to, new, played, rows, run, signed_in

pytestmark = pytest.mark.django_db

LOG = "installation"
GUARDED = ("event", "detail", "leaf", "node", "checkpoint", "anchor", "origin", "sealing_key")
EVENTS = 270
TRIES = 200


@pytest.fixture
def keys(tmp_path):
    made = SealingKeys(tmp_path / "seal-keys")
    introduce_key(keys=made, now=clock.now())
    return made


class Memory:
    """What the anchor held at one moment, as its reader gives it: asked 200 times over."""

    def __init__(self, reader: anchoring.AnchorReader) -> None:
        self._held = {
            (key, version): reader.read(key, version)
            for key, version in reader.oldest_versions(anchoring.folder())
        }

    def oldest_versions(self, prefix: str) -> Iterator[tuple[str, str]]:
        return iter(sorted(held for held in self._held if held[0].startswith(prefix)))

    def read(self, key: str, version_id: str) -> bytes:
        return self._held[key, version_id]


def seal_some(keys: SealingKeys, count: int, log: str = LOG) -> None:
    reason = {"detail": {"reason": "It was said so."}}
    with transaction.atomic():
        append_many(
            events=[
                new(played(**reason) if number % 3 == 0 else signed_in()) for number in range(count)
            ]
        )
    Sealer(keys).seal(log=log, now=clock.now())


@pytest.fixture
def sealed(acting_as, keys) -> anchoring.AnchorReader:
    """A log of some hundred events under many heads, every third of them anchored."""
    rng = random.Random(1)
    size = 1
    number = 0
    while size < EVENTS:
        step = rng.randrange(1, 40)
        seal_some(keys, step)
        size += step
        number += 1
        if number % 3 == 0:
            put_anchor(acting_as)
    put_anchor(acting_as)
    with acting_as("work"):
        return Memory(anchoring.reader())


def put_anchor(acting_as) -> None:
    with acting_as("seal"):
        anchor(log=LOG, store=anchoring.writer(), now=clock.now())


def checked(reader: anchoring.AnchorReader | None, log: str = LOG) -> Verdict:
    return verify_log(log=log, now=clock.now(), reader=reader)


@pytest.fixture
def unguarded(sealed) -> None:
    """What the owner can do first: take away what guards the tables."""
    for table in GUARDED:
        run(f"ALTER TABLE audit_{table} DISABLE TRIGGER USER")
    run("ALTER TABLE audit_anchor DROP CONSTRAINT audit_anchor_log_size_fkey")
    run("ALTER TABLE audit_checkpoint DROP CONSTRAINT audit_checkpoint_origin_fkey")


OTHER_BODY = "UPDATE audit_event SET body = replace(body, '\"v\":1', '\"v\":2')"

# Each alters one thing, and gives the place of the first bad row, or None if it has no row.
Deed = Callable[[random.Random, list[Leaf]], int | None]


def _some(rng: random.Random, leaves: list[Leaf]) -> Leaf:
    return rng.choice(leaves)


def update_body(rng, leaves):
    leaf = _some(rng, leaves)
    run(
        f"UPDATE audit_event SET body = replace(body, '\"v\":1', '\"v\":2') WHERE id = {leaf.event}"
    )
    return leaf.leaf_index


def update_column(rng, leaves):
    leaf = _some(rng, leaves)
    change = rng.choice(
        [
            "actor = 'system:nobody'",
            "outcome = 'deny'",
            "event_id = gen_random_uuid()",
            "event_type = 'dialog.played.not'",
            "purpose = 'training'",
            "subject = gen_random_uuid()",
            "target = 'other'",
            "actor_role = 'auditor'",
            "basis = 'none'",
        ]
    )
    run(f"UPDATE audit_event SET {change} WHERE id = {leaf.event}")
    return leaf.leaf_index


def back_date(rng, leaves):
    leaf = _some(rng, leaves)
    hours = rng.randrange(2, 20)
    column = rng.choice(["happened_at", "recorded_at"])
    # Rows cannot be moved to another month: not back on its first day, nor on at its end.
    now = clock.now()
    direction = "-" if (now - timedelta(hours=21)).month == now.month else "+"
    run(
        f"UPDATE audit_event SET {column} = {column} {direction} interval '{hours} hours' "
        f"WHERE id = {leaf.event}"
    )
    return leaf.leaf_index


def date_beyond_the_calendar(rng, leaves):
    leaf = _some(rng, leaves)
    infinity = rng.choice(["infinity", "-infinity"])
    run(f"UPDATE audit_event SET happened_at = '{infinity}' WHERE id = {leaf.event}")
    return leaf.leaf_index


def delete_event(rng, leaves):
    leaf = _some(rng, leaves)
    run(f"DELETE FROM audit_event WHERE id = {leaf.event}")
    return leaf.leaf_index


def delete_leaf(rng, leaves):
    leaf = _some(rng, leaves)
    run(f"DELETE FROM audit_leaf WHERE leaf_index = {leaf.leaf_index}")
    return leaf.leaf_index


def delete_event_and_leaf(rng, leaves):
    leaf = _some(rng, leaves)
    run(f"DELETE FROM audit_event WHERE id = {leaf.event}")
    run(f"DELETE FROM audit_leaf WHERE leaf_index = {leaf.leaf_index}")
    return leaf.leaf_index


def swap_events(rng, leaves):
    first, second = sorted(rng.sample(leaves, 2), key=lambda leaf: leaf.leaf_index)
    run(
        f"UPDATE audit_leaf SET event = CASE event WHEN {first.event} THEN -1 ELSE -2 END "
        f"WHERE event IN ({first.event}, {second.event})"
    )
    run(
        f"UPDATE audit_leaf SET event = CASE event WHEN -1 THEN {second.event} "
        f"ELSE {first.event} END WHERE event < 0"
    )
    if first.about_conversation == second.about_conversation:
        return first.leaf_index
    return first.leaf_index


def swap_leaves(rng, leaves):
    first, second = sorted(rng.sample(leaves, 2), key=lambda leaf: leaf.leaf_index)
    for leaf, place in ((first, -1), (second, first.leaf_index)):
        run(f"UPDATE audit_leaf SET leaf_index = {place} WHERE event = {leaf.event}")
    run(f"UPDATE audit_leaf SET leaf_index = {second.leaf_index} WHERE event = {first.event}")
    return  # the rows fit their leaves: it is the head over them that does not


def alter_leaf(rng, leaves):
    leaf = _some(rng, leaves)
    run(f"UPDATE audit_leaf SET hash = sha256('x') WHERE leaf_index = {leaf.leaf_index}")
    return leaf.leaf_index


def alter_event_with_its_leaf(rng, leaves):
    leaf = _some(rng, leaves)
    run(
        f"UPDATE audit_event SET body = replace(body, '\"v\":1', '\"v\":2') WHERE id = {leaf.event}"
    )
    run(
        "UPDATE audit_leaf l SET hash = sha256('\\x00'::bytea || convert_to(e.body, 'UTF8')) "
        f"FROM audit_event e WHERE e.id = l.event AND l.event = {leaf.event}"
    )
    return


def insert_past_the_sealer(rng, leaves):
    event = Event.objects.get(id=_some(rng, leaves).event)
    body = json.loads(event.body) | {"id": str(uuid4())}
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_event (log, about_conversation, body, event_id, happened_at, "
            "event_type, actor, outcome, conversation) "
            "SELECT log, about_conversation, %s, %s, happened_at, event_type, actor, outcome, "
            "conversation FROM audit_event WHERE id = %s",
            [json.dumps(body), body["id"], event.id],
        )


def cut_the_tail(rng, leaves):
    sizes = [size for (size,) in rows("SELECT size FROM audit_checkpoint ORDER BY size")]
    size = rng.choice(sizes[:-1])
    tail = f"SELECT event FROM audit_leaf WHERE leaf_index >= {size}"
    run(f"DELETE FROM audit_event WHERE id IN ({tail})")
    run(f"DELETE FROM audit_leaf WHERE leaf_index >= {size}")
    run(f"DELETE FROM audit_node WHERE (node_index + 1) * 256 > {size}")
    run(f"DELETE FROM audit_anchor WHERE size > {size}")
    run(f"DELETE FROM audit_checkpoint WHERE size > {size}")
    return size


def cut_the_tail_and_say_that_it_was_restored(rng, leaves):
    """Without the sealing key: an origin that declares lost what is anchored beyond the cut."""
    (note,) = rows("SELECT note FROM audit_checkpoint ORDER BY size DESC LIMIT 1")[0]
    size = cut_the_tail(rng, leaves)
    declare_lost(size, rng.choice([note, "garbage"]))
    return size


def declare_lost(size, note):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_origin VALUES (%s, 2, %s, %s, %s, now())",
            [LOG, origin_name(LOG, 2), size, note],
        )


def alter_checkpoint(rng, leaves):
    sizes = [size for (size,) in rows("SELECT size FROM audit_checkpoint ORDER BY size")]
    size = rng.choice([size for size in sizes[1:] if size - 1 not in sizes])
    change = rng.choice(
        [
            "root = sha256('x')",
            "note = replace(note, origin, origin || 'x')",
            "fingerprint = 'unknown'",
            "sealed_at = sealed_at - interval '3 days'",
            "size = size - 1",
        ]
    )
    run(f"UPDATE audit_checkpoint SET {change} WHERE size = {size}")


def delete_checkpoint_that_was_anchored(rng, leaves):
    (size,) = rng.choice(rows("SELECT size FROM audit_anchor"))
    run(f"DELETE FROM audit_anchor WHERE size = {size}")
    run(f"DELETE FROM audit_checkpoint WHERE size = {size}")
    return


def sign_all_anew_with_another_key(rng, leaves):
    key = Ed25519PrivateKey.generate()
    public = public_bytes(key.public_key())
    alter_event_with_its_leaf(rng, leaves)
    hashes = [bytes(value) for (value,) in rows("SELECT hash FROM audit_leaf ORDER BY leaf_index")]
    run("DELETE FROM audit_node")
    with connection.cursor() as cursor:
        frontier = Frontier()
        for node in frontier.extend(hashes):
            cursor.execute("INSERT INTO audit_node VALUES (%s, %s, %s, %s)", [LOG, *node])
        cursor.execute("UPDATE audit_sealing_key SET public_key = %s", [public])
        cursor.execute("UPDATE audit_sealing_key SET fingerprint = %s", [fingerprint(public)])
        for (size,) in rows("SELECT size FROM audit_checkpoint"):
            frontier = Frontier()
            frontier.extend(hashes[:size])
            note = Head(origin_name(LOG, 1), size, frontier.root()).signed(key)
            cursor.execute(
                "UPDATE audit_checkpoint SET root = %s, note = %s, fingerprint = %s "
                "WHERE size = %s",
                [frontier.root(), note, fingerprint(public), size],
            )
    return


def alter_node(rng, leaves):
    run("UPDATE audit_node SET hash = sha256('x')")
    return 255


def alter_detail(rng, leaves):
    found = rows(
        "SELECT l.leaf_index, d.event_id FROM audit_detail d "
        "JOIN audit_event e USING (event_id) JOIN audit_leaf l ON l.event = e.id"
    )
    place, event = rng.choice(found)
    column = rng.choice(['text = \'{"reason":"Never."}\'', "salt = sha256('x')"])
    run(f"UPDATE audit_detail SET {column} WHERE event_id = '{event}'")
    return place


def alter_key(rng, leaves):
    run("UPDATE audit_sealing_key SET public_key = sha256('x')")
    return


def say_it_was_anchored(rng, leaves):
    run(
        "UPDATE audit_anchor SET key = key || 'x' WHERE size = (SELECT max(size) FROM audit_anchor)"
    )
    return


DEEDS: list[Deed] = [
    update_body,
    update_column,
    back_date,
    date_beyond_the_calendar,
    delete_event,
    delete_leaf,
    delete_event_and_leaf,
    swap_events,
    swap_leaves,
    alter_leaf,
    alter_event_with_its_leaf,
    insert_past_the_sealer,
    cut_the_tail,
    cut_the_tail_and_say_that_it_was_restored,
    alter_checkpoint,
    delete_checkpoint_that_was_anchored,
    sign_all_anew_with_another_key,
    alter_node,
    alter_detail,
    alter_key,
    say_it_was_anchored,
]


class Undone(Exception):
    """Takes a change back."""


class TestTampering:
    def test_every_single_change_of_two_hundred_is_found(self, sealed, unguarded, monkeypatch):
        assert checked(sealed).state is State.INTACT
        # Inside the transaction that is rolled back, which has begun before it is checked.
        monkeypatch.setattr(checking, "one_moment", lambda: transaction.atomic())
        leaves = list(Leaf.objects.order_by("leaf_index"))
        rng = random.Random(20261127)

        unseen, misnamed = [], []
        for number in range(TRIES):
            deed: Any = DEEDS[number % len(DEEDS)]
            with pytest.raises(Undone), transaction.atomic():
                place = deed(rng, leaves)
                verdict = checked(sealed)
                if verdict.state is not State.TAMPERED:
                    unseen.append((number, deed.__name__, place))
                elif place is not None and verdict.faults[0].leaf_index != place:
                    misnamed.append((number, deed.__name__, place, verdict.faults[0]))
                raise Undone

        assert unseen == []
        assert misnamed == []
        assert checked(sealed).state is State.INTACT

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ("note = (SELECT min(note) FROM audit_checkpoint)", "not what its signed note says"),
            ("fingerprint = 'unknown'", "signed by an unknown key"),
            ("sealed_at = sealed_at - interval '3 days'", "events was dated to another time"),
            ("sealed_at = 'infinity'", "events was dated to another time"),
            ("root = sha256('x')", "not those of the head"),
        ],
    )
    def test_of_a_head_is_told_for_what_it_is(self, sealed, unguarded, change, said):
        run(
            f"UPDATE audit_checkpoint SET {change} WHERE size = (SELECT size FROM audit_checkpoint "
            "WHERE note <> (SELECT min(note) FROM audit_checkpoint) ORDER BY size OFFSET 2 LIMIT 1)"
        )

        assert said in " ".join(map(str, checked(sealed).faults))

    def test_of_a_key_is_told_for_what_it_is(self, sealed, unguarded):
        alter_key(random.Random(3), [])

        assert "is not the one of that name" in " ".join(map(str, checked(sealed).faults))

    def test_that_declares_heads_lost_excuses_none_of_them(self, sealed, unguarded):
        (note,) = rows("SELECT note FROM audit_checkpoint ORDER BY size DESC LIMIT 1")[0]
        size = cut_the_tail(random.Random(4), [])
        declare_lost(size, note)

        faults = checked(sealed).faults

        assert f"was never restarted as {origin_name(LOG, 2)}" in " ".join(map(str, faults))
        assert (faults[0].leaf_index, "missing at the end" in faults[0].what) == (size, True)

    @pytest.mark.parametrize(
        "deed", [sign_all_anew_with_another_key, cut_the_tail], ids=lambda deed: deed.__name__
    )
    def test_what_only_the_anchor_knows(self, sealed, unguarded, deed):
        deed(random.Random(2), list(Leaf.objects.order_by("leaf_index")))

        with_anchor = checked(sealed)

        assert with_anchor.state is State.TAMPERED
        assert "anchored" in " ".join(map(str, with_anchor.faults))


class TestIntact:
    def test_a_log_with_a_new_key_and_events_that_wait(self, acting_as, keys):
        seal_some(keys, 5)
        put_anchor(acting_as)
        keys.create(now=clock.now().replace(year=2099))
        introduce_key(keys=keys, now=clock.now())
        seal_some(keys, 5)
        put_anchor(acting_as)
        with transaction.atomic():
            append_many(events=[new(signed_in())])

        with acting_as("work"):
            verdict = checked(anchoring.reader())

        assert (verdict.state, verdict.faults, verdict.notes) == (State.INTACT, [], [])
        assert verdict.anchors == 2
        assert len(verdict.keys) == 2

    def test_one_whose_sealer_was_away_for_a_day(self, keys):
        seal_some(keys, 3)
        with transaction.atomic():
            append_many(events=[new(signed_in()) for _ in range(6)])
        run("ALTER TABLE audit_event DISABLE TRIGGER USER")
        run(
            "UPDATE audit_event SET recorded_at = recorded_at + interval '3 hours' * id, "
            "month = date_trunc('month', (recorded_at + interval '3 hours' * id) "
            "AT TIME ZONE 'UTC')::date WHERE id IN (SELECT event FROM audit_unsealed)"
        )
        run("UPDATE audit_unsealed u SET month = e.month FROM audit_event e WHERE e.id = u.event")
        later = clock.now() + timedelta(days=2)
        while Sealer(keys).seal(log=LOG, now=later, limit=1):
            pass

        verdict = verify_log(log=LOG, now=later, reader=None)

        assert verdict.faults == []

    def test_an_empty_one_cannot_be_told(self, keys):
        verdict = checked(None)

        assert verdict.state is State.INCOMPLETE

    def test_nor_one_whose_anchors_are_left_out(self, keys):
        seal_some(keys, 3)

        assert checked(None).state is State.INCOMPLETE

    def test_nor_one_whose_key_changed_without_the_old_keys_word(self, acting_as, keys, tmp_path):
        seal_some(keys, 3)
        (old,) = (tmp_path / "seal-keys").glob("*.pem")
        keys.create(now=clock.now().replace(year=2099))
        old.unlink()
        introduce_key(keys=keys, now=clock.now())
        seal_some(keys, 3)
        put_anchor(acting_as)

        with acting_as("work"):
            verdict = checked(anchoring.reader())

        assert (verdict.state, verdict.faults) == (State.INCOMPLETE, [])
        assert "without the old key" in verdict.notes[0]

    def test_a_log_that_was_restored_says_so(self, acting_as, keys):
        seal_some(keys, 2)
        seal_some(keys, 2)
        put_anchor(acting_as)
        go_back_to(3)
        with acting_as("seal"):
            restart(log=LOG, store=anchoring.reader(), actor=Actor.system("test"), now=clock.now())
        with acting_as("work"):
            reader = anchoring.reader()
            waiting = checked(reader)
        seal_some(keys, 2)
        put_anchor(acting_as)

        restarted = checked(reader)

        assert (waiting.state, waiting.faults) == (State.INCOMPLETE, [])
        assert (restarted.state, restarted.faults) == (State.INTACT, [])
        assert "restarted at 3 events; it had been anchored with 5" in restarted.notes[0]

    def test_nor_one_whose_anchor_does_not_answer(self, keys):
        class Silent:
            def oldest_versions(self, prefix: str) -> Iterator[tuple[str, str]]:
                raise anchoring.AnchorUnavailable("The store does not answer.")

            def read(self, key: str, version_id: str) -> bytes:
                raise AssertionError

        seal_some(keys, 3)

        assert checked(Silent()).state is State.INCOMPLETE

    def test_it_is_one_moment_whatever_is_written_meanwhile(self, acting_as, keys, monkeypatch):
        seal_some(keys, 50)
        put_anchor(acting_as)
        monkeypatch.setattr("audit.verification.rows.LEAVES_AT_ONCE", 10)
        with acting_as("seal"):
            writer, reader = anchoring.writer(), anchoring.reader()

        def write_on(_count: int) -> None:
            def write() -> None:
                seal_some(keys, 3)
                anchor(log=LOG, store=writer, now=clock.now())
                connection.close()

            thread = threading.Thread(target=write)
            thread.start()
            thread.join()

        verdict = verify_log(log=LOG, now=clock.now(), reader=reader, on_progress=write_on)

        assert (verdict.state, verdict.faults, verdict.size) == (State.INTACT, [], 51)
        assert verdict.anchors == 1
        assert Leaf.objects.count() > 60


class TestTold:
    def test_in_the_log_and_by_the_command(self, acting_as, sealed, capsys):
        with acting_as("work"), pytest.raises(SystemExit) as ended:
            call_command("audit", "verify", "--json")

        (said,) = json.loads(capsys.readouterr().out)["logs"]
        assert (ended.value.code, said["state"]) == (0, "intact")
        event = Event.objects.get(event_type=EventType.AUDIT_VERIFIED)
        assert json.loads(event.body)["x"]["root"] == said["root"]
        assert event.outcome == "allow"

    def test_and_what_is_wrong_with_the_row(self, acting_as, sealed, unguarded, capsys):
        leaf = Leaf.objects.get(leaf_index=7)
        run(f"DELETE FROM audit_event WHERE id = {leaf.event}")
        run("ALTER TABLE audit_event ENABLE TRIGGER USER")

        with acting_as("work"), pytest.raises(SystemExit) as ended:
            call_command("audit", "verify", "--log=installation")

        out = capsys.readouterr().out
        assert ended.value.code == 1
        assert f"place 7, event {leaf.event}: the event (row {leaf.event}" in out
        event = Event.objects.get(event_type=EventType.AUDIT_VERIFIED)
        assert event.outcome == "deny"

    def test_without_the_anchors_identity_it_is_incomplete(self, acting_as, sealed):
        with acting_as("web"), override_settings(S3_ANCHOR_READ_ACCESS_KEY=None):
            verdict = verify_and_tell(log=LOG, actor=Actor.system("test"))

        assert verdict.state is State.INCOMPLETE


class TestDeletedLog:
    def test_is_found_by_what_is_anchored_of_it(self, acting_as, keys):
        company = str(uuid4())
        open_log(log=UUID(company))
        with transaction.atomic():
            append_many(events=[new(signed_in(log=UUID(company)))])
        Sealer(keys).seal(log=company, now=clock.now())
        with acting_as("seal"):
            anchor(log=company, store=anchoring.writer(), now=clock.now())
        for table in (*GUARDED, "log"):
            run(f"ALTER TABLE audit_{table} DISABLE TRIGGER USER")
        for table in ("anchor", "checkpoint", "origin", "node", "leaf", "event"):
            run(f"DELETE FROM audit_{table} WHERE log = '{company}'")
        run(f"DELETE FROM audit_log WHERE name = '{company}'")
        run("ALTER TABLE audit_event ENABLE TRIGGER USER")

        with acting_as("work"):
            assert company in logs_to_check()
            verdict = verify_and_tell(log=company, actor=Actor.system("test"))

        assert verdict.state is State.TAMPERED
        assert "missing at the end" in str(verdict.faults[0])


class TestAnchorKey:
    def test_that_somebody_used_before_us_is_found(self, acting_as, servers, keys):
        """Whoever has the writer's identity puts a head of his own where ours is to lie."""
        seal_some(keys, 3)
        place = anchoring.AnchorPlace(LOG, 1, 4).key(at=clock.now())
        with acting_as("seal"):
            anchoring.writer().put(place, b"forged", retain_until=clock.now() + timedelta(days=1))
        put_anchor(acting_as)

        with acting_as("work"):
            verdict = checked(anchoring.reader())

        assert verdict.state is State.TAMPERED
        assert "not the one that was anchored" in str(verdict.faults[0])


class TestOrigin:
    def test_that_no_event_declares_stops_the_sealer(self, keys):
        seal_some(keys, 3)
        (note,) = rows("SELECT note FROM audit_checkpoint")[0]
        declare_lost(4, note)

        with pytest.raises(TreeAltered, match="no event says"):
            seal_some(keys, 3)

    def test_another_name_in_the_settings_stops_the_sealer(self, keys):
        seal_some(keys, 3)

        with (
            override_settings(AUDIT_ORIGIN="other.example/tallenne"),
            pytest.raises(TreeAltered, match="AUDIT_ORIGIN"),
        ):
            seal_some(keys, 3)
