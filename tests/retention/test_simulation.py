"""What a simulation says is what deciding about each conversation by itself gives."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import Controller, NoticedTime, PrivacyNotice
from accounts.roles import Role
from audit.models import Event
from recordings.keyring import FileKeyring
from recordings.models import Conversation
from retention import simulated_rows
from retention.changes import LimitChange, RuleChange, changed_book, loads
from retention.contacts import PREFETCH
from retention.matching import Contact, Limit, Stretch, Terms
from retention.models import Hold, Matter, RetentionRule, Simulation
from retention.operations.business_events import NewBusinessEvent, record_events
from retention.operations.simulate import MOST_TRIES, SILENT, run_next, simulate
from retention.permissions import NotEntitled
from retention.queries import RuleBook, decisions_for
from retention.simulation import SOON, Simulator, runs
from tests.retention.enacting import change_rule, create_rule, retire_rule
from tests.retention.retention_factories import (
    draft,
    make_controller,
    make_conversation,
    make_limit,
    make_purpose,
    make_queue,
    make_source,
    make_team,
    make_user,
)

ZONES = ("Europe/Helsinki", "America/Sao_Paulo", "Pacific/Apia", "Asia/Beirut", "America/Nuuk")
# Both days on which clocks changed in Helsinki in 2026, month ends, a leap day, and around them.
DAYS = (
    *("2026-03-28", "2026-03-29", "2026-03-30", "2026-10-24", "2026-10-25", "2026-10-26"),
    *("2026-01-31", "2026-02-28", "2024-02-29", "2025-08-31", "2026-05-27", "2026-05-28"),
)
NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


PURPOSES = (UUID(int=21), UUID(int=22))
# Before, at and after captures.
TIMES = tuple(datetime(2026, month, 1, tzinfo=UTC) for month in (2, 4, 6))


def book(
    terms: Collection[Terms],
    limits: Mapping[UUID, Limit] | None = None,
    zone: str = ZONES[0],
    earlier: Collection[Terms] = (),
) -> RuleBook:
    return RuleBook(
        terms=tuple(terms),
        earlier=tuple(earlier),
        limits=limits or {},
        noticed_months={},
        zone=ZoneInfo(zone),
    )


TERMS: dict[str, Any] = {
    "version": st.uuids(),
    "purpose": st.sampled_from(PURPOSES),
    "kinds": st.sampled_from([frozenset(), frozenset({"call"})]),
    "keep_months": st.sampled_from([0, 1, 6, 12, 13]),
    "keep_days": st.integers(1, 40),
    "has_article_9_condition": st.booleans(),
    "cites_statute": st.booleans(),
    "is_exclusion": st.sampled_from([False, False, False, True]),
}
IN_FORCE = st.builds(Terms, in_force_from=st.sampled_from(TIMES), **TERMS)
REPLACED = st.builds(
    Terms,
    in_force_from=st.just(TIMES[0] - timedelta(days=9)),
    in_force_until=st.sampled_from(TIMES),
    **TERMS,
)
BOUNDS = st.dictionaries(
    st.sampled_from(PURPOSES),
    st.builds(Limit, st.sampled_from([None, 1, 6]), st.sampled_from([None, 6, 12])),
)


class TestRuns:
    @settings(max_examples=800, deadline=None)
    @given(
        old=st.tuples(st.lists(IN_FORCE, max_size=3), BOUNDS),
        new=st.tuples(st.lists(IN_FORCE, max_size=3), BOUNDS),
        earlier=st.lists(REPLACED, max_size=2),
        captured_at=st.sampled_from([None, *TIMES]),
        noticed=st.dictionaries(st.sampled_from(PURPOSES), st.sampled_from([1, 6, 12])),
        zone=st.sampled_from(ZONES),
        day=st.sampled_from(DAYS),
        minutes=st.lists(st.integers(0, 1439), min_size=1, max_size=40),
        late_by=st.integers(0, 400),
        health=st.booleans(),
    )
    def test_each_row_has_the_outcome_of_its_run(
        self, old, new, earlier, captured_at, noticed, zone, day, minutes, late_by, health
    ):
        where = ZoneInfo(zone)
        books = [book(terms, limits, zone, earlier) for terms, limits in (old, new)]
        begin = datetime.fromisoformat(f"{day}T00:00").replace(tzinfo=where)
        simulator = Simulator(books[0], books[1], at=begin + timedelta(days=late_by, hours=9))
        contacts = [
            Contact(
                "call",
                (begin + timedelta(minutes=minute)).astimezone(UTC),
                (),
                health,
                where,
                captured_at=captured_at,
                noticed_months=noticed,
            )
            for minute in minutes
        ]
        contacts.sort(key=lambda one: one.ended_at.astimezone(where).replace(tzinfo=None))

        found = [
            (outcome, one) for outcome, some in runs(contacts, simulator.outcome) for one in some
        ]

        assert [one for _outcome, one in found] == contacts
        assert all(outcome == simulator.outcome(one) for outcome, one in found)

    def test_contacts_that_differ_for_no_rule_are_alike(self):
        team, other = UUID(int=1), UUID(int=2)
        terms = Terms(
            UUID(int=9), PURPOSES[0], teams=frozenset({team}), shortest_seconds=60, keep_months=6
        )
        simulator = Simulator(book([terms]), book([]), at=NOW)

        def likeness(team: UUID, kind: str = "call", health: bool = False, **more: Any) -> object:
            stretches = (Stretch(team, None),)
            more = {"duration_seconds": 60.0, **more}
            return simulator.likeness(
                Contact(kind, NOW, stretches, health, ZoneInfo(ZONES[0]), **more)
            )

        alike = likeness(other)
        assert alike == likeness(UUID(int=3), "chat", duration_seconds=3.0, tags=frozenset("x"))
        assert likeness(team, duration_seconds=59.9) == alike
        assert alike == likeness(other, events={}) != likeness(other, events={"claim.closed": NOW})
        different = [
            likeness(team),
            alike,
            likeness(team, health=True),
            likeness(team, captured_at=NOW),
            likeness(team, noticed_months={PURPOSES[0]: 6}),
            likeness(team, events={"claim.closed": NOW - timedelta(days=1)}),
            likeness(team, events={"claim.closed": NOW + timedelta(days=1)}),
            likeness(team, events={"claim.closed": NOW + timedelta(days=2)}),
        ]
        assert len(set(different)) == len(different)


@pytest.fixture
def arranged(db, request):
    """A company of varied conversations, with rules, limits, holds, and two books to compare."""
    keyring = FileKeyring.prepare(request.getfixturevalue("tmp_path") / "keys")
    return Arranged(getattr(request, "param", ZONES[0]), keyring)


class Arranged:
    """What is there, and each conversation decided about by itself."""

    def __init__(self, zone: str, keyring: FileKeyring) -> None:
        self.random = random.Random(7)
        self.keyring = keyring
        self.vakka = make_controller("Vakka")
        Controller.objects.filter(pk=self.vakka.pk).update(time_zone=zone)
        self.vakka.refresh_from_db()
        self.teams = [make_team(self.vakka, name) for name in ("Claims", "Sales", "Service")]
        self.queues = [
            make_queue(self.vakka, "Phone"),
            make_queue(self.vakka, "Doctor", holds_health_data=True),
        ]
        self.coaching, self.evidence = make_purpose("coaching"), make_purpose("evidence")
        self.olga = make_user("Olga Officer", Role.COMPLIANCE_OFFICER, self.vakka)
        self.rules = {
            name: self._rule(name, purpose, **says)
            for name, purpose, says in (
                ("Short", self.coaching, {"months": 1}),
                ("Claims", self.coaching, {"months": 6, "teams": [self.teams[0].pk]}),
                ("Chats", self.coaching, {"days": 20, "months": 0, "kinds": ["chat"]}),
                (
                    "Doctor",
                    self.evidence,
                    {
                        "months": 8,
                        "queues": [self.queues[1].pk],
                        "article_9_condition": "9(2)(f)",
                    },
                ),
            )
        }
        self._make_later_rules()
        make_limit(self.vakka, self.coaching, floor=None, ceiling=6)
        self._record_events()
        self._converse()

    def _rule(self, name, purpose, *, days_ago: int = 300, **says) -> RetentionRule:
        version = create_rule(
            controller=self.vakka,
            purpose=purpose,
            name=name,
            draft=draft(**says),
            user=self.olga,
            now=NOW - timedelta(days=days_ago),
        )
        return version.rule

    def _make_later_rules(self) -> None:
        """By all else that rules look at; some made, changed or retired among the captures."""
        self.claims, self.quality = make_purpose("claims"), make_purpose("quality")
        notice = PrivacyNotice.objects.create(
            controller=self.vakka,
            version="2026-02",
            in_force_from=NOW - timedelta(days=280),
            recorded_at=NOW - timedelta(days=280),
        )
        NoticedTime.objects.create(notice=notice, purpose=self.quality, months=5)
        by_event = {"months": 1, "days": 3, "cap_months": 9}
        for name, purpose, says in (
            ("Closed", self.claims, {"trigger": "claim.closed", **by_event}),
            ("Ended", self.claims, {"trigger": "contract.ended", **by_event, "kinds": ["call"]}),
            ("Sold", self.quality, {"outcomes": ["sold"], "directions": ["outbound"]}),
            ("Swedish", self.quality, {"months": 4, "languages": ["sv"], "days_ago": 200}),
            ("Tagged", self.quality, {"months": 7, "tags": ["vip", "odd"], "days_ago": 150}),
            ("Long", self.quality, {"months": 5, "shortest_seconds": 120, "days_ago": 100}),
            ("Brief", self.claims, {"is_exclusion": True, "longest_seconds": 30, "months": 0}),
        ):
            if "is_exclusion" in says:
                says = {**says, "legal_basis": ""}
            self.rules[name] = self._rule(name, purpose, **says)
        told = {"user": self.olga, "based_on": 1}
        change_rule(
            rule=self.rules["Sold"],
            draft=draft(months=8, outcomes=["sold", "lost"]),
            now=NOW - timedelta(days=120),
            **told,
        )
        retire_rule(rule=self.rules["Swedish"], now=NOW - timedelta(days=60), **told)

    def _record_events(self) -> None:
        """Claims and contracts that met their end at times of day among those of conversations."""
        ends = [
            NewBusinessEvent(kind, f"{kind[:2]}-{number}", happened_at)
            for kind in ("claim.closed", "contract.ended")
            for number in range(4)
            for happened_at in [
                NOW - timedelta(days=self.random.randrange(1, 240), minutes=97 * number)
            ]
        ]
        # What was said last counts, and what came after the simulation's time does not.
        corrected = [
            replace(ends[place], happened_at=ends[place].happened_at - timedelta(days=11))
            for place in (0, 1)
        ]
        for events, hours in ((ends, -2), (corrected[:1], -1), (corrected[1:], 1)):
            record_events(
                controller=self.vakka,
                events=events,
                keyring=self.keyring,
                now=NOW + timedelta(hours=hours),
            )

    def _details(self) -> dict[str, Any]:
        """What differs now and then, so that there are some that are alike."""
        choose = self.random.choice
        return {
            "direction": choose(["inbound", "inbound", "outbound"]),
            "duration_seconds": choose([180.0, 180.0, 119.9, 120.0, 30.0, 30.1, 7.5]),
            "outcome": choose(["", "", "sold", "lost", "other"]),
            "language": choose(["fi", "fi", "sv", "SV-FI", "svk", ""]),
            "tags": choose([[], [], ["vip"], ["vip", "odd"], ["none,of"]]),
            "notice": choose(["", "2026-02", "unknown"]),
            "captured_at": NOW - timedelta(days=choose([300, 299, 201, 200, 130, 90, 10])),
            "claims": choose([[], [], ["cl-0"], ["cl-1"], ["cl-2", "cl-3"], ["cl-0", "cl-4"]]),
            "contracts": choose([[], [], ["co-2"]]),
            "keyring": self.keyring,
        }

    def _converse(self) -> None:
        sources = [make_source(self.vakka), make_source(self.vakka, released=False)]
        days = [
            *(datetime.fromisoformat(day) for day in DAYS),
            # Of a month and of six, those whose time is over today or in 30 days.
            *(datetime(2026, month, 27) for month in (4, 5, 6, 10, 11)),  # noqa: DTZ001
        ]
        for _ in range(160):
            wall = self.random.choice(days) + timedelta(minutes=self.random.randrange(24 * 60))
            make_conversation(
                self.random.choice([sources[0], *sources]),
                kind=self.random.choice(["call", "call", "chat"]),
                ended_at=wall.replace(tzinfo=self.zone).astimezone(UTC),
                stretches=[
                    (
                        self.random.choice([*self.teams, None]),
                        self.random.choice([*self.queues, None]),
                    )
                    for _ in range(self.random.choice([0, 1, 1, 1, 2, 3]))
                ],
                **self._details(),
            )
        self.matter = Matter.objects.create(
            controller=self.vakka,
            code="m",
            name="Dispute",
            reason="…",
            opened_at=NOW,
            review_at=NOW,
        )
        for conversation in self.random.sample(list(Conversation.objects.all()), 20):
            Conversation.objects.filter(pk=conversation.pk).update(hold_count=1)
            Hold.objects.create(matter=self.matter, conversation=conversation, placed_at=NOW)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.vakka.time_zone)

    def run(self, *changes: RuleChange | LimitChange) -> dict:
        row = simulate(changes=changes, user=self.olga, now=NOW)
        assert run_next(clock=lambda: NOW) == row.pk
        row.refresh_from_db()
        assert row.done_count == row.total_count == Conversation.objects.count()
        return json.loads(row.result)

    def singly(self, *changes: RuleChange | LimitChange) -> list[tuple]:
        """Each conversation with its end under the old and the new rules, by `decide` alone."""
        row = simulate(changes=changes, user=self.olga, now=NOW)
        books = changed_book(loads(row.changes), controller=self.vakka, at=NOW)
        return [
            (one, *(self._uses(one, book) for book in books))
            for one in Conversation.objects.select_related("source").prefetch_related(*PREFETCH)
        ]

    def _uses(self, conversation: Conversation, of: RuleBook) -> dict[UUID, datetime]:
        return {
            one.purpose: one.until_at
            for one in decisions_for(conversation, book=of)
            if one.until_at is not None
        }


def expected(rows: list[tuple], zone: ZoneInfo) -> tuple[Counter, Counter, list]:
    """Counts, months, and the affected in the order in which they would go."""
    counts: Counter[str] = Counter()
    months: Counter[tuple[str, str]] = Counter()
    affected = []
    for conversation, *uses in rows:
        ends = [max(one.values(), default=None) for one in uses]
        counts["total"] += 1
        for name, end in zip(("old", "new"), ends, strict=True):
            if end is None:
                counts[f"never_{name}"] += 1
            elif end <= NOW:
                counts[f"now_{name}"] += 1
            else:
                counts[f"soon_{name}"] += end <= NOW + SOON
                months[f"{end.astimezone(zone):%Y-%m}", name] += 1
        open_uses = [
            {purpose: until for purpose, until in one.items() if until > NOW} for one in uses
        ]
        if ends[0] != ends[1] or open_uses[0] != open_uses[1]:
            counts["affected"] += 1
            affected.append((conversation, *ends))
        if ends[1] is not None and ends[1] <= NOW:
            is_barred = conversation.hold_count or conversation.source.released_at is None
            counts["going"] += not is_barred
    affected.sort(key=lambda row: (row[2] is None, row[2] or row[0].ended_at, row[0].pk))
    return counts, months, affected


def changes_of(arranged: Arranged) -> dict[str, list[RuleChange | LimitChange]]:
    vakka, coaching, evidence = arranged.vakka, arranged.coaching, arranged.evidence
    short, claims = arranged.rules["Short"], arranged.rules["Claims"]
    return {
        "shorter": [RuleChange(vakka, coaching, draft(months=0, days=25), short)],
        "longer, for a team": [
            RuleChange(vakka, coaching, draft(months=7, teams=[arranged.teams[1].pk]), claims)
        ],
        "new, for health data": [
            RuleChange(
                vakka,
                evidence,
                draft(months=5, days=30, article_9_condition="9(2)(h)"),
                name="Evidence",
            )
        ],
        "retired": [RuleChange(vakka, coaching, None, short)],
        "by event": [
            RuleChange(
                vakka,
                arranged.claims,
                draft(months=2, trigger="claim.closed", cap_months=7, shortest_seconds=30),
                arranged.rules["Closed"],
            ),
            RuleChange(
                vakka,
                arranged.quality,
                draft(months=1, days=3, trigger="contract.ended", cap_months=8, languages=["sv"]),
                name="New",
            ),
        ],
        "by details": [
            RuleChange(
                vakka,
                arranged.quality,
                draft(months=11, tags=["vip"], outcomes=["sold", "other"], longest_seconds=120),
                arranged.rules["Tagged"],
            ),
            RuleChange(
                vakka,
                arranged.quality,
                draft(months=0, legal_basis="", is_exclusion=True, directions=["outbound"]),
                name="Not these",
            ),
            RuleChange(
                vakka,
                arranged.claims,
                draft(months=9, statute="Act 1/2020", languages=["fi"]),
                name="By law",
            ),
        ],
        "a limit": [LimitChange(vakka, coaching, 2, 5)],
        "a set": [
            RuleChange(vakka, coaching, None, claims),
            RuleChange(vakka, coaching, draft(months=12), short),
            LimitChange(vakka, coaching, 6, None),
        ],
        "nothing": [LimitChange(vakka, coaching, None, 6)],
    }


class TestSimulating:
    @pytest.mark.parametrize("arranged", ZONES, indirect=True)
    def test_says_of_every_conversation_what_deciding_says(self, arranged):
        for name, changes in changes_of(arranged).items():
            result = arranged.run(*changes)

            counts, months, affected = expected(arranged.singly(*changes), arranged.zone)
            Simulation.objects.open().delete()
            assert {key: result["all"][key] for key in counts} == dict(counts), name
            assert {
                (row["month"], side): row[side]
                for row in result["months"]
                for side in ("old", "new")
                if row[side]
            } == dict(months), name
            assert [
                (row["conversation"], row["old_end"], row["new_end"]) for row in result["first"]
            ] == [(str(one.pk), *map(text, ends)) for one, *ends in affected[:20]], name

    def test_counts_each_team_and_what_matters_hold(self, arranged):
        changes = changes_of(arranged)["shorter"]

        result = arranged.run(*changes)

        rows = arranged.singly(*changes)
        teams = {row["team"]: row["total"] for row in result["teams"]}
        served: Counter[str | None] = Counter()
        held: Counter[str] = Counter()
        for one, _old, new in rows:
            served.update({str(s.team_id) for s in one.segments.all() if s.team_id} or {None})
            end = max(new.values(), default=None)
            if one.hold_count and end is not None and end <= NOW + SOON:
                held["now" if end <= NOW else "soon"] += 1
        assert teams == dict(served)
        assert result["matters"] == [
            {"matter": str(arranged.matter.pk), "now": held["now"], "soon": held["soon"]}
        ]

    def test_read_in_many_pieces_it_says_the_same(self, arranged, monkeypatch):
        changes = changes_of(arranged)["a set"]
        whole = arranged.run(*changes)
        monkeypatch.setattr(simulated_rows, "CHUNK", 10)
        monkeypatch.setattr(simulated_rows, "_SAMPLE_PERCENT", 100)

        assert arranged.run(*changes) == whole

    def test_changes_nothing_and_is_logged(self, arranged):
        before = list(Conversation.objects.order_by("pk").values_list("pk", "destroy_after"))

        arranged.run(*changes_of(arranged)["a set"])

        assert before == list(
            Conversation.objects.order_by("pk").values_list("pk", "destroy_after")
        )
        event = Event.objects.get(event_type="simulation.requested")
        assert (event.log, '"count":3' in event.body) == (str(arranged.vakka.pk), True)


def text(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None


@pytest.fixture
def asked(db):
    """A simulation that waits."""
    vakka = make_controller("Vakka")
    olga = make_user("Olga Officer", Role.COMPLIANCE_OFFICER, vakka)
    change = RuleChange(vakka, make_purpose("coaching"), draft(), name="Coaching")
    return simulate(changes=[change], user=olga, now=NOW)


class TestRunning:
    def test_the_worker_may_do_it_and_the_web_may_not(self, asked, acting_as):
        with acting_as("web"), pytest.raises(Exception, match="permission denied"):
            run_next(clock=lambda: NOW)

        with acting_as("work"):
            assert run_next(clock=lambda: NOW) == asked.pk
            assert run_next(clock=lambda: NOW) is None

        asked.refresh_from_db()
        assert asked.finished_at == NOW

    def test_one_whose_worker_was_killed_begins_again_when_that_is_silent(self, asked):
        Simulation.objects.update(heartbeat_at=NOW, attempts=1, done_count=70)

        assert run_next(clock=lambda: NOW + SILENT) is None
        assert run_next(clock=lambda: NOW + SILENT + timedelta(seconds=1)) == asked.pk

        asked.refresh_from_db()
        assert (asked.attempts, asked.done_count) == (2, 0)

    def test_one_tried_too_often_needs_a_person(self, asked):
        Simulation.objects.update(heartbeat_at=NOW - SILENT * 2, attempts=MOST_TRIES)

        assert run_next(clock=lambda: NOW) is None

        asked.refresh_from_db()
        assert (asked.needs_person_at, asked.finished_at) == (NOW, None)

    def test_refuses_who_may_not_change_rules(self, asked):
        vakka = Controller.objects.get()
        change = LimitChange(vakka, make_purpose("coaching"), 1, 2)

        with pytest.raises(NotEntitled):
            simulate(changes=[change], user=make_user("Charlie", Role.COACH, vakka), now=NOW)
