"""The larger pages of the log: a conversation's story, counts by day, refusals in a row."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.urls import reverse

from accounts.roles import Role
from audit import clock, queries, reading
from audit.counting import TooManyToCount
from audit.events import Actor, EventType, Outcome, Target
from audit.models import Event
from tests import factories
from tests.audit.given import ALICE, at_minute, events, happened, played, run
from tests.audit.given import signed_in as signed_in_event

pytestmark = pytest.mark.django_db

BOB = Actor.user(uuid4())


def refused(actor=ALICE, **members):
    return {
        "event_type": EventType.PAGE_REFUSED,
        "actor": actor,
        "now": members.pop("now", None) or clock.now(),
        "log": None,
        "target": Target("log", "unknown"),
        "facts": {"page": "audit:log"},
        **members,
    }


class TestStory:
    def test_is_oldest_first_and_takes_the_ranges_of_a_listening_together(self):
        conversation, play = uuid4(), uuid4()
        ranges = [(0, 999), (1000, 1999), (500, 599)]
        for number, (first, last) in enumerate(ranges):
            facts = {"play": play, "first_byte": first, "last_byte": last}
            happened(played(now=at_minute(number + 1), conversation=conversation, facts=facts))
        happened(played(now=at_minute(2), conversation=conversation, actor=BOB))
        happened(played(now=at_minute(0)))

        found = reading.story(log=None, conversation=conversation).happenings

        assert [(one.event.actor, one.ranges) for one in found] == [
            (ALICE.reference, 3),
            (BOB.reference, 1),
        ]
        assert (found[0].bytes, found[0].other_at.minute) == (2100, 3)

    def test_goes_on_without_gap_or_repeat(self, monkeypatch):
        monkeypatch.setattr(reading, "STORY_EVENTS", 2)
        conversation = uuid4()
        made = [
            happened(played(now=at_minute(minute), conversation=conversation)).id
            for minute in (1, 1, 1, 2, 3)
        ]

        seen, place = [], None
        while True:
            story = reading.story(log=None, conversation=conversation, after=place)
            seen += [one.event.id for one in story.happenings]
            place = story.next_place and queries.Place.parse(str(story.next_place))
            if place is None:
                break

        assert seen == made


class TestDays:
    def test_counts_by_the_installations_day_and_by_outcome(self):
        # Half past nine in the evening by UTC is the next day in Helsinki, in summer.
        at = at_minute(0).replace(hour=21, minute=30)
        happened(signed_in_event(now=at - timedelta(hours=1)))
        happened(signed_in_event(now=at))
        happened(refused(now=at))

        days = reading.days(
            queries.Filter(logs=[None], from_at=at - timedelta(days=1), until_at=at + timedelta(1)),
            now=clock.now(),
        )

        counted = {day.day.day: day.counts for day in days if day.total}
        assert counted == {10: {"allow": 1}, 11: {"allow": 1, "deny": 1}}
        assert len(days) == 3

    def test_of_more_than_can_be_waited_for_are_refused(self):
        with pytest.raises(TooManyToCount):
            reading.days(
                queries.Filter(logs=[None], from_at=clock.now() - timedelta(days=500)),
                now=clock.now(),
            )


class TestRefusedInARow:
    def test_names_who_was_refused_five_times_with_nothing_allowed_in_between(self):
        now = clock.now()
        for minute in range(6):
            happened(refused(now=now - timedelta(minutes=30 - minute)))
            happened(refused(BOB, now=now - timedelta(minutes=30 - minute)))
            if minute == 3:
                happened(signed_in_event(actor=BOB, now=now - timedelta(minutes=26, seconds=30)))

        (found,) = reading.refused_in_a_row(log=None, now=now)

        assert (found.actor, found.count) == (ALICE.reference, 6)

    def test_not_of_long_ago(self):
        for _ in range(6):
            happened(refused(now=at_minute(1)))

        assert reading.refused_in_a_row(log=None, now=clock.now()) == []


class TestPages:
    @pytest.fixture
    def addresses(self, vakka):
        return {
            "story": reverse("audit:story", args=[vakka.pk, uuid4()]),
            "counts": f"{reverse('audit:counts')}?log={vakka.pk}",
            "refusals": f"{reverse('audit:refusals')}?log={vakka.pk}",
        }

    @pytest.mark.parametrize("page", ["story", "counts", "refusals"])
    def test_a_look_is_an_event(self, signed_in, olga, addresses, page):
        answer = signed_in(olga).get(addresses[page])

        assert answer.status == 200
        looked = events(EventType.AUDIT_LISTED).get()
        assert json.loads(looked.body)["x"]["page"] == page

    @pytest.mark.parametrize("page", ["story", "counts", "refusals"])
    def test_is_refused_to_an_outsider(self, signed_in, charlie, addresses, page):
        assert signed_in(charlie).get(addresses[page]).status == 404
        assert events(EventType.PAGE_REFUSED).count() == 1

    @pytest.mark.parametrize("page", ["story", "counts", "refusals"])
    def test_shows_nothing_when_it_cannot_be_logged(
        self,
        signed_in,
        olga,
        addresses,
        page,
    ):
        run("REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_web")

        assert signed_in(olga).get(addresses[page]).status == 503

    def test_the_story_shows_another_logs_events_to_nobody(
        self,
        signed_in,
        vakka,
        olga,
    ):
        conversation = uuid4()
        happened(played(conversation=conversation))

        page = signed_in(olga).get(reverse("audit:story", args=[vakka.pk, conversation]))

        assert "card empty" in page.text
        assert (
            "card empty"
            not in signed_in(olga)
            .get(
                reverse("audit:story", args=[vakka.pk, happened(played(log=vakka.pk)).conversation])
            )
            .text
        )

    def test_the_log_can_be_asked_for_refusals_alone(self, signed_in, vakka, olga):
        happened(refused(log=vakka.pk))
        happened(signed_in_event(log=vakka.pk))

        found = queries.page(
            wanted=queries.Filter(logs=[vakka.pk], outcome=Outcome.DENY), rows=50
        ).events

        assert [event.event_type for event in found] == ["page.refused"]
        assert (
            signed_in(olga).get(f"{reverse('audit:log')}?log={vakka.pk}&outcome=deny").status == 200
        )


class TestListened:
    def test_is_for_employees(self, centre, signed_in):
        assert signed_in(centre.alice).get(reverse("recordings:listened")).status == 404

    def test_an_agent_sees_who_has_looked_into_hers_and_nothing_else(self, centre, signed_in):
        call = centre.call()
        other = centre.chat("Toinen", "keskustelu")
        agent = centre.dora
        factories.give_role(agent, Role.EMPLOYEE, centre.vakka)
        call.parties.filter(role="agent").update(user=agent)
        signed_in(centre.alice).listen(call.dialogs.first().pk, bytes_range="bytes=0-999")
        signed_in(centre.alice).get(reverse("recordings:conversation", args=[other.pk]))

        page = signed_in(agent).get(reverse("recordings:listened"))

        assert page.status == 200
        assert page.text.count(centre.alice.full_name) == 1
        looked = Event.objects.filter(
            event_type=EventType.AUDIT_LISTED, actor=str(agent.reference)
        ).get()
        assert json.loads(looked.body)["x"]["page"] == "recordings:listened"

    def test_who_is_on_none_reads_so(self, centre, signed_in):
        factories.give_role(centre.alice, Role.EMPLOYEE, centre.vakka)

        page = signed_in(centre.alice).get(reverse("recordings:listened"))

        assert "card empty" in page.text
