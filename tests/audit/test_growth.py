"""The log stops growing: the past is cut once two persons agreed, and the rest still proves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import anchoring, bodies, clock, cuts, trees, verify
from audit.events import Actor, EventType, NewEvent, Target
from audit.models import AuditDetail, Cut, Event, Leaf, LogTerm, SealingKey
from audit.notes import VerifierKey, tlog_proof
from audit.operations.anchoring import anchor
from audit.operations.growth import (
    CutRefused,
    TermRefused,
    agree_to_cut,
    change_term,
    do_cut,
    lift_log_hold,
    place_log_hold,
    propose_cut,
)
from audit.operations.sealing import Sealer, introduce_key, origin_name
from audit.sealing_keys import SealingKeys
from audit.verification.checking import verify_log
from audit.verification.verdicts import State
from tests.audit.given import happened, played, rows, run, signed_in
from tests.harness.commands import manage

pytestmark = pytest.mark.django_db
LOG = "installation"
OLGA = Actor.user(UUID("01a00000-0000-4000-8000-000000000001"))
OTTO = Actor.user(UUID("07700000-0000-4000-8000-000000000002"))


@pytest.fixture
def keys(tmp_path):
    made = SealingKeys(tmp_path / "seal-keys")
    introduce_key(keys=made, now=clock.now())
    return made


@pytest.fixture
def sealed(keys, acting_as):
    """Seal and anchor what there is."""

    def seal(*, is_anchored: bool = True, log: str = LOG) -> None:
        with acting_as("seal"):
            while Sealer(keys).seal(log=log, now=clock.now()):
                pass
            if is_anchored:
                anchor(log=log, store=anchoring.writer(), now=clock.now())

    return seal


def months_ago(months: int) -> datetime:
    """Noon on the tenth of the month so many months before this one (UTC)."""
    now = clock.now().astimezone(UTC)
    months = now.year * 12 + now.month - 1 - months
    return datetime(months // 12, months % 12 + 1, 10, 12, tzinfo=UTC)


def past(members, *, months: int) -> Event:
    """Have an event recorded so many months ago; only the tables' owner can pretend that."""
    at = months_ago(months)
    new = NewEvent(**{**members, "now": at})
    written = bodies.write(new)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_event (log, about_conversation, month, recorded_at, body) "
            "VALUES (%s, %s, %s, %s, %s)",
            [
                written.log,
                written.is_about_conversation,
                at.date().replace(day=1),
                at,
                written.body,
            ],
        )
    if written.detail:
        AuditDetail.objects.create(
            event_id=written.event_id,
            salt=written.detail.salt,
            text=written.detail.text,
            log=written.log,
        )
    return Event.objects.get(event_id=written.event_id)


def destroyed(conversation, *, months: int) -> Event:
    members = signed_in(
        event_type=EventType.CONVERSATION_DESTROYED,
        actor=Actor.system("purge"),
        target=Target("conversation", str(conversation)),
    )
    return past(members, months=months)


def until(months: int = 24) -> date:
    return cuts.latest_until(months=months, now=clock.now())


def propose(*, about: bool = False, until_month: date | None = None, by: Actor = OLGA) -> Cut:
    return propose_cut(
        log=None,
        about_conversation=about,
        until_month=until_month or until(),
        actor=by,
        now=clock.now(),
    )


def agreed(**how) -> Cut:
    cut = propose(**how)
    return agree_to_cut(log=None, cut=cut.id, actor=OTTO, now=clock.now())


def refused(deed) -> str:
    with pytest.raises(CutRefused) as error:
        deed()
    return error.value.rule


def proof_of(event: Event) -> str:
    leaf = trees.leaf_of(event=event.id)
    newest = trees.newest_checkpoint(log=LOG)
    path = trees.tree(log=LOG, size=newest.size).inclusion_proof(leaf.leaf_index)
    return tlog_proof(index=leaf.leaf_index, path=path, note=newest.note, extra=event.body.encode())


def trusted() -> list[str]:
    return [
        str(VerifierKey(origin_name(LOG, 1), bytes(key)))
        for key in SealingKey.objects.values_list("public_key", flat=True)
    ]


class TestCut:
    def test_takes_what_is_past_and_leaves_the_rest_and_every_hash(self, acting_as, sealed):
        old = past(signed_in(detail={"address": "192.0.2.1"}), months=26)
        young = past(signed_in(), months=23)
        of_a_call = past(played(), months=26)
        sealed()
        leaves = list(Leaf.objects.order_by("leaf_index").values_list("leaf_index", "hash"))
        with acting_as("web"):
            cut = agreed()

        with acting_as("cut"):
            done = do_cut(cut=cut.id, now=clock.now())

        assert done.done_at
        left = set(Event.objects.values_list("event_id", flat=True))
        assert old.event_id not in left
        assert {young.event_id, of_a_call.event_id} <= left
        assert not AuditDetail.objects.filter(event_id=old.event_id).exists()
        assert list(Leaf.objects.order_by("leaf_index").values_list("leaf_index", "hash")) == leaves
        said = Event.objects.get(event_type=EventType.AUDIT_CUT)
        assert '"count":1' in said.body
        assert f'"root":"{bytes(cut.root).hex()}"' in said.body

    def test_the_log_is_found_intact_before_and_after_it_is_sealed(self, acting_as, sealed):
        past(signed_in(), months=26)
        sealed()
        with acting_as("web"):
            cut = agreed()
        with acting_as("cut"):
            do_cut(cut=cut.id, now=clock.now())

        with acting_as("work"):
            waiting = verify_log(log=LOG, now=clock.now(), reader=anchoring.reader())
        sealed()
        with acting_as("work"):
            after = verify_log(log=LOG, now=clock.now(), reader=anchoring.reader())

        assert (waiting.state, waiting.faults) == (State.INTACT, [])
        assert (after.state, after.faults) == (State.INTACT, [])
        assert after.size == after.events + 1

    def test_spares_what_the_check_of_the_log_rests_on(self, sealed):
        of_the_log = {"actor": Actor.system("sealer"), "target": Target("log", LOG)}
        key = {"key": SealingKey.objects.get().fingerprint}
        past(
            signed_in(event_type=EventType.SEALING_KEY_INTRODUCED, facts=key, **of_the_log),
            months=26,
        )
        lost = {"size": 1, "lost": 0, "root": "0" * 64}
        past(signed_in(event_type=EventType.LOG_RESTARTED, facts=lost, **of_the_log), months=26)
        past(signed_in(), months=26)
        sealed()

        assert propose().events == 1

    def test_proofs_made_before_and_after_it_verify(self, acting_as, sealed):
        old = past(signed_in(), months=26)
        young = past(signed_in(), months=2)
        sealed()
        before = {"old": proof_of(old), "young": proof_of(young)}
        head_before = trees.newest_checkpoint(log=LOG)
        with acting_as("web"):
            cut = agreed()
        with acting_as("cut"):
            do_cut(cut=cut.id, now=clock.now())
        sealed()
        newest = trees.newest_checkpoint(log=LOG)

        said = Event.objects.get(event_type=EventType.AUDIT_CUT)
        for proof in [*before.values(), proof_of(young), proof_of(said)]:
            head, _proof = verify.check_proof(proof, trusted())
            assert head.size in (head_before.size, newest.size)
        verify.check_consistency(
            head_before.size,
            newest.size,
            trees.tree(log=LOG, size=newest.size).consistency_proof(head_before.size),
            bytes(head_before.root),
            bytes(newest.root),
        )

    def test_says_which_leaves_lack_their_event(self, sealed):
        gone = [past(signed_in(), months=26)]
        past(played(), months=26)
        gone.append(past(signed_in(), months=27))
        sealed()
        do_cut(cut=agreed().id, now=clock.now())

        places = {trees.leaf_of(event=event.id).leaf_index for event in gone}
        assert {
            leaf for first, after in cuts.cut_ranges(log=LOG) for leaf in range(first, after)
        } == places
        there = set(Event.objects.values_list("id", flat=True))
        assert places == {
            leaf.leaf_index for leaf in Leaf.objects.filter(log=LOG) if leaf.event not in there
        }
        said = Event.objects.get(event_type=EventType.AUDIT_CUT)
        assert cuts.leaves_digest(cut=Cut.objects.get()) in said.body

    def test_drops_partitions_that_it_empties(self, acting_as, sealed):
        month = months_ago(26).date().replace(day=1)
        name = f"audit_event_installation_o_{month:%Y%m}"
        run(f"CREATE TABLE {name} (LIKE audit_event INCLUDING ALL EXCLUDING IDENTITY)")
        run(
            f"ALTER TABLE audit_event ATTACH PARTITION {name} FOR VALUES FROM "
            f"('{LOG}', false, '{month}') TO ('{LOG}', false, '{month + timedelta(days=31)}')"
        )
        past(signed_in(), months=26)
        sealed()
        with acting_as("web"):
            cut = agreed()

        with acting_as("cut"):
            do_cut(cut=cut.id, now=clock.now())

        assert rows(f"SELECT to_regclass('{name}')") == [(None,)]
        assert rows("SELECT to_regclass('audit_event_default')") != [(None,)]
        happened(signed_in())

    def test_a_second_time_is_refused(self, acting_as, sealed):
        past(signed_in(), months=26)
        sealed()
        cut = agreed()
        with acting_as("cut"):
            do_cut(cut=cut.id, now=clock.now())

            assert refused(lambda: do_cut(cut=cut.id, now=clock.now())) == "audit_cut_done"

        assert Event.objects.filter(event_type=EventType.AUDIT_CUT).count() == 1

    def test_is_done_once_by_two_at_a_time(self, stage, sealed):
        for _ in range(20):
            past(signed_in(), months=26)
        sealed()
        cut = agreed()

        def attempt(_number: int) -> str:
            try:
                do_cut(cut=cut.id, now=clock.now())
            except CutRefused as error:
                return error.rule
            finally:
                connection.close()
            return "done"

        with stage.acting_as("cut"), ThreadPoolExecutor(2) as threads:
            answers = sorted(threads.map(attempt, range(2)))

        assert answers == ["audit_cut_done", "done"]
        assert Event.objects.filter(event_type=EventType.AUDIT_CUT).count() == 1

    def test_killed_half_way_has_done_nothing_and_can_be_done_again(self, acting_as, sealed):
        old = past(signed_in(), months=26)
        sealed()
        cut = agreed()
        with acting_as("cut"):
            with pytest.raises(KeyboardInterrupt), transaction.atomic():
                do_cut(cut=cut.id, now=clock.now())
                raise KeyboardInterrupt
            assert Cut.objects.get().done_at is None
        assert Event.objects.filter(event_id=old.event_id).exists()
        assert cuts.cut_ranges(log=LOG) == []

        with acting_as("cut"):
            do_cut(cut=cut.id, now=clock.now())

        assert not Event.objects.filter(event_id=old.event_id).exists()

    def test_is_not_done_when_it_cannot_be_logged(self, acting_as, sealed):
        old = past(signed_in(), months=26)
        sealed()
        cut = agreed()
        run(
            "ALTER TABLE audit_event ADD CONSTRAINT broken "
            "CHECK (event_type <> 'audit.cut') NOT VALID"
        )

        with acting_as("cut"), pytest.raises(DatabaseError, match="broken"):
            do_cut(cut=cut.id, now=clock.now())

        assert Event.objects.filter(event_id=old.event_id).exists()
        assert Cut.objects.get().done_at is None


class TestRefusals:
    def test_nobody_agreed(self, acting_as, sealed):
        past(signed_in(), months=26)
        sealed()
        cut = propose()

        with acting_as("cut"):
            assert refused(lambda: do_cut(cut=cut.id, now=clock.now())) == "audit_cut_not_agreed"

    def test_the_same_person_agrees(self, acting_as, sealed):
        past(signed_in(), months=26)
        sealed()
        with acting_as("web"):
            cut = propose(by=OLGA)

            rule = refused(lambda: agree_to_cut(log=None, cut=cut.id, actor=OLGA, now=clock.now()))

        assert rule == "audit_cut_agreed_by_another"

    def test_a_hold_before_it_is_proposed_and_one_after_it_was_agreed(self, acting_as, sealed):
        past(signed_in(), months=26)
        sealed()
        with acting_as("web"):
            cut = agreed()
            hold = place_log_hold(log=None, reason="Inquiry", actor=OLGA, now=clock.now())
            assert refused(propose) == "audit_cut_held"
        with acting_as("cut"):
            assert refused(lambda: do_cut(cut=cut.id, now=clock.now())) == "audit_cut_held"
        with acting_as("web"):
            assert lift_log_hold(log=None, hold=hold.id, reason="Over", actor=OTTO, now=clock.now())
            assert not lift_log_hold(
                log=None, hold=hold.id, reason="Over", actor=OTTO, now=clock.now()
            )

        with acting_as("cut"):
            assert do_cut(cut=cut.id, now=clock.now()).done_at

    def test_a_month_within_the_term_and_a_term_made_longer_since(self, acting_as, sealed):
        past(signed_in(), months=26)
        sealed()
        day_after = date(until().year + until().month // 12, until().month % 12 + 1, 1)
        with acting_as("web"):
            assert refused(lambda: propose(until_month=day_after)) == "audit_cut_too_young"
            cut = agreed()
            change_term(log=None, months=30, legal_reason="", actor=OLGA, now=clock.now())

        with acting_as("cut"):
            assert refused(lambda: do_cut(cut=cut.id, now=clock.now())) == "audit_cut_too_young"

    def test_events_that_are_not_sealed_or_not_anchored(self, acting_as, sealed):
        past(signed_in(), months=26)
        assert refused(propose) == "audit_cut_unsealed"
        sealed(is_anchored=False)

        assert refused(propose) == "audit_cut_unanchored"

    def test_nothing_is_past(self, sealed):
        sealed()

        assert refused(propose) == "audit_cut_empty"

    def test_a_proposal_that_another_took_the_place_of(self, acting_as, sealed):
        past(signed_in(), months=26)
        sealed()
        with acting_as("web"):
            first = propose()
            propose()

            rule = refused(
                lambda: agree_to_cut(log=None, cut=first.id, actor=OTTO, now=clock.now())
            )

        assert rule == "audit_cut_replaced"

    def test_an_event_that_does_not_say_what_is_cut(self, acting_as, sealed):
        past(signed_in(), months=26)
        sealed()
        cut = agreed()
        lie = happened(signed_in()).body

        with acting_as("cut"), pytest.raises(DatabaseError, match="does not say"):
            with connection.cursor() as cursor:
                cursor.execute("SELECT audit_do_cut(%s, %s)", [cut.id, lie])


class TestHoldMeanwhile:
    """A hold and a cut of one log wait for each other: a lock_timeout shows who waits."""

    def test_placed_while_a_cut_is_being_done_waits_for_it(self, sealed):
        past(signed_in(), months=26)
        sealed()
        cut = agreed()

        def place() -> None:
            try:
                run("SET lock_timeout = '200ms'")
                place_log_hold(log=None, reason="Inquiry", actor=OLGA, now=clock.now())
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as pool, transaction.atomic():
            do_cut(cut=cut.id, now=clock.now())
            with pytest.raises(DatabaseError, match="lock timeout"):
                pool.submit(place).result(timeout=10)

        assert Cut.objects.get().done_at

    def test_being_placed_keeps_a_cut_waiting_and_then_wins(self, sealed):
        past(signed_in(), months=26)
        sealed()
        cut = agreed()

        def attempt() -> None:
            try:
                run("SET lock_timeout = '200ms'")
                do_cut(cut=cut.id, now=clock.now())
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as pool, transaction.atomic():
            place_log_hold(log=None, reason="Inquiry", actor=OLGA, now=clock.now())
            with pytest.raises(DatabaseError, match="lock timeout"):
                pool.submit(attempt).result(timeout=10)

        assert refused(lambda: do_cut(cut=cut.id, now=clock.now())) == "audit_cut_held"


class TestConversations:
    def test_events_stay_until_a_term_after_it_was_destroyed_and_its_destruction_goes_last(
        self, acting_as, sealed
    ):
        kept, gone, lately = uuid4(), uuid4(), uuid4()
        stay = [
            past(played(conversation=kept), months=40),
            past(played(conversation=lately), months=40),
            destroyed(lately, months=10),
        ]
        go = [past(played(conversation=gone), months=40), destroyed(gone, months=30)]
        sealed()
        with acting_as("web"):
            cut = agreed(about=True)

        with acting_as("cut"):
            do_cut(cut=cut.id, now=clock.now())

        left = set(Event.objects.values_list("event_id", flat=True))
        assert {event.event_id for event in stay} <= left
        assert not {event.event_id for event in go} & left

    def test_a_destruction_stays_while_something_younger_about_it_does(self, sealed):
        gone = uuid4()
        looked = past(played(conversation=gone), months=40)
        said = destroyed(gone, months=30)
        later = past(played(conversation=gone), months=5)
        sealed()

        do_cut(cut=agreed(about=True).id, now=clock.now())

        left = set(Event.objects.values_list("event_id", flat=True))
        assert looked.event_id not in left
        assert {said.event_id, later.event_id} <= left

    def test_no_event_of_one_that_is_kept_is_proposed(self, sealed):
        past(played(), months=60)
        sealed()

        assert refused(lambda: propose(about=True)) == "audit_cut_empty"


class TestGuards:
    def test_the_owner_still_cannot_delete(self, sealed):
        past(signed_in(), months=26)
        sealed()
        cut = agreed()
        hold = place_log_hold(log=None, reason="Inquiry", actor=OLGA, now=clock.now())
        change_term(log=None, months=24, legal_reason="", actor=OLGA, now=clock.now())

        for statement in (
            "DELETE FROM audit_event",
            "DELETE FROM audit_event_default",
            "DELETE FROM audit_cut",
            "DELETE FROM audit_log_hold",
            "UPDATE audit_log_term SET months = 6",
            "TRUNCATE audit_cut",
            "UPDATE audit_cut SET until_month = '2030-01-01'",
            "UPDATE audit_cut SET leaves = '{[0,100)}'",
        ):
            with pytest.raises(DatabaseError, match=r"never|not changed"), transaction.atomic():
                run(statement)
        lift_log_hold(log=None, hold=hold.id, reason="Over", actor=OLGA, now=clock.now())
        do_cut(cut=cut.id, now=clock.now())
        with pytest.raises(DatabaseError, match="never altered"), transaction.atomic():
            run("DELETE FROM audit_event")

    def test_nor_past_the_function_that_cuts(self, sealed):
        past(signed_in(), months=26)
        sealed()
        propose()

        for statement in (
            "UPDATE audit_cut SET transaction = pg_current_xact_id(), done_at = now()",
            "UPDATE audit_cut SET transaction = pg_current_xact_id()",
            "UPDATE audit_cut SET done_at = now()",
        ):
            with pytest.raises(DatabaseError), transaction.atomic():
                run(statement)

        assert Cut.objects.get().done_at is None

    def test_within_the_cuts_own_transaction_only_its_leaves_go(self, sealed):
        past(signed_in(), months=26)
        past(played(), months=26)
        sealed()
        cut = agreed()

        with pytest.raises(DatabaseError, match="never altered"), transaction.atomic():
            do_cut(cut=cut.id, now=clock.now())
            run("DELETE FROM audit_event")

    @pytest.mark.parametrize("role", ["web", "work", "purge", "seal"])
    def test_other_roles_cannot_cut(self, acting_as, role, sealed):
        past(signed_in(), months=26)
        sealed()
        cut = agreed()

        with acting_as(role), pytest.raises(DatabaseError, match="denied"), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT audit_do_cut(%s, '{}')", [cut.id])

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM audit_event",
            "SELECT * FROM audit_event",
            "SELECT * FROM accounts_user",
            "INSERT INTO audit_event (log, about_conversation, body) VALUES ('a', false, '{}')",
            "UPDATE audit_cut SET agreed_by = gen_random_uuid()",
            "UPDATE audit_log_hold SET lifted_by = gen_random_uuid()",
        ],
    )
    def test_the_cutter_can_do_nothing_else(self, acting_as, statement):
        with acting_as("cut"), pytest.raises(DatabaseError, match="denied"):
            run(statement)

    @pytest.mark.parametrize("column", ["done_at", "agreed_at", "leaves", "transaction", "events"])
    def test_the_web_cannot_say_what_the_database_finds(self, acting_as, column):
        with acting_as("web"), pytest.raises(DatabaseError, match="denied"):
            run(f"UPDATE audit_cut SET {column} = NULL")


class TestTerm:
    def test_is_24_months_until_decided_and_then_the_newest_decision(self, acting_as):
        assert cuts.term_months(log=LOG) == 24
        with acting_as("web"):
            change_term(log=None, months=12, legal_reason="", actor=OLGA, now=clock.now())
            change_term(log=None, months=6, legal_reason="", actor=OLGA, now=clock.now())
            assert cuts.term_months(log=LOG) == 6

        assert LogTerm.objects.count() == 2
        assert Event.objects.filter(event_type=EventType.LOG_TERM_CHANGED).count() == 2

    @pytest.mark.parametrize(("months", "reason"), [(5, "law"), (37, " "), (601, "law")])
    def test_outside_its_bounds_is_refused_by_us_and_by_the_database(self, months, reason):
        with pytest.raises(TermRefused):
            change_term(log=None, months=months, legal_reason=reason, actor=OLGA, now=clock.now())
        with pytest.raises(DatabaseError, match="audit_log_term"), transaction.atomic():
            run(
                "INSERT INTO audit_log_term (log, months, legal_reason, set_by) VALUES "
                f"('{LOG}', {months}, '{reason}', gen_random_uuid())"
            )

    def test_beyond_36_months_has_its_reason(self):
        change_term(log=None, months=60, legal_reason="MiFID II", actor=OLGA, now=clock.now())

        assert LogTerm.objects.get().legal_reason == "MiFID II"

    @settings(max_examples=200, deadline=None)
    @given(
        now=st.datetimes(
            min_value=datetime(2020, 1, 1),  # noqa: DTZ001 (the zone is given beside it)
            max_value=datetime(2090, 1, 1),  # noqa: DTZ001
            timezones=st.just(UTC),
        ),
        months=st.integers(min_value=6, max_value=600),
    )
    def test_the_months_that_may_be_cut_ended_so_many_months_ago(self, now, months):
        found = cuts.latest_until(months=months, now=now)

        assert found.day == 1
        later = found.year * 12 + found.month - 1 + months
        assert (later // 12, later % 12 + 1) == (now.year, now.month)

    def test_is_reckoned_alike_by_the_database(self, sealed):
        now = clock.now()
        for months in (6, 11, 12, 13, 24, 36, 599, 600):
            found = cuts.latest_until(months=months, now=now)
            ((database,),) = rows(
                "SELECT (date_trunc('month', statement_timestamp() AT TIME ZONE 'UTC') "
                f"- make_interval(months => {months}))::date"
            )
            assert found == database


class TestCommand:
    def test_lists_and_does_what_was_agreed(self, stage, sealed):
        past(signed_in(), months=26)
        sealed()
        agreed()

        listed = manage(stage, "cut_audit", role="cut")
        done = manage(stage, "cut_audit", "--do", "--json", role="cut")

        assert "1 events about other things" in listed.out, listed.printed
        assert (done.code, done.answer["cuts"][0]["done"]) == (0, True), done.printed

    def test_says_what_was_refused(self, stage, sealed):
        past(signed_in(), months=26)
        sealed()
        agreed()
        place_log_hold(log=None, reason="Inquiry", actor=OLGA, now=clock.now())

        done = manage(stage, "cut_audit", "--do", role="cut")

        assert done.code == 1
        assert "held" in done.printed
