"""One person's doings: counted by type, newest first, each listening once; the look an event."""

from __future__ import annotations

import json
import re
from html import unescape
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit import counting, doings, queries
from audit.events import Actor, EventType
from audit.models import Event
from tests.audit.given import ALICE, at_minute, happened, insert, played, run
from tests.audit.given import signed_in as has_signed_in

pytestmark = pytest.mark.django_db

BOB = Actor.user(uuid4())


def page_of(vakka, actor: Actor = ALICE) -> str:
    return reverse("audit:person", args=[vakka.pk, actor.reference])


def listened(play, minute: int, **members):
    facts = {"play": play, "first_byte": 0, "last_byte": 9}
    return happened(played(now=at_minute(minute), facts=facts, **members))


def hers(**members) -> queries.Filter:
    return queries.Filter(logs=[None], actor=ALICE.reference, **members)


class TestDoings:
    def test_are_newest_first_and_take_the_ranges_of_a_listening_together(self):
        first, second = uuid4(), uuid4()
        for play, minute in ((first, 1), (second, 2), (first, 3), (first, 4)):
            listened(play, minute)
        happened(has_signed_in(now=at_minute(0)))
        listened(first, 5, actor=BOB)

        found = doings.doings(wanted=hers())

        assert [
            (row.event.happened_at.minute, row.other_at.minute, row.ranges)
            for row in found.happenings
        ] == [(4, 1, 3), (2, 2, 1), (0, 0, 1)]

    def test_go_on_without_gap_or_repeat(self, monkeypatch):
        monkeypatch.setattr(doings, "DOINGS_EVENTS", 2)
        made = [happened(has_signed_in(now=at_minute(minute))).id for minute in (1, 1, 1, 2, 3)]

        seen: list[int] = []
        place = None
        while not seen or place:
            found = doings.doings(wanted=hers(), after=place)
            seen += [row.event.id for row in found.happenings]
            place = found.next_place

        assert seen == made[::-1]


class TestCounts:
    def test_are_by_type_of_the_time_asked_for_the_most_frequent_first(self):
        for minute in (1, 2, 3):
            happened(has_signed_in(now=at_minute(minute)))
        happened(played(now=at_minute(2)))
        happened(played(now=at_minute(2), actor=BOB))

        assert doings.counts_by_type(wanted=hers(from_at=at_minute(2))) == [
            ("session.signed_in", 2),
            ("dialog.played", 1),
        ]

    def test_that_take_too_long_are_given_up(self, monkeypatch):
        happened(has_signed_in())
        monkeypatch.setattr(counting, "COUNTING_SECONDS", 0.05)
        monkeypatch.setattr(
            doings.queries,
            "events",
            lambda wanted: Event.objects.extra(where=["pg_sleep(5) IS NOT NULL"]),
        )

        with pytest.raises(counting.TooManyToCount):
            doings.counts_by_type(wanted=hers())


class TestPage:
    def test_is_an_event_about_whom_it_was_asked(self, signed_in, vakka, olga):
        happened(has_signed_in(log=vakka.pk))

        answer = signed_in(olga).get(page_of(vakka) + "?from_date=2026-01-01")

        assert answer.status == 200
        look = Event.objects.get(event_type=EventType.AUDIT_LISTED)
        assert (look.log, look.target) == (str(vakka.pk), ALICE.reference)
        said = json.loads(look.body)["x"]
        assert (said["page"], said["count"], said["filters"]) == ("person", 1, ["actor", "from"])

    def test_names_her_and_shows_of_this_log_alone(self, signed_in, vakka, olga):
        of_her = Actor.user(olga.reference)
        happened(has_signed_in(log=vakka.pk, actor=of_her))
        happened(played(actor=of_her))

        text = signed_in(olga).get(page_of(vakka, of_her)).text

        assert ": Olga Officer</h1>" in text
        assert "what=session.signed_in" in text
        assert "what=dialog.played" not in text

    def test_pages_to_older_doings_within_the_days_asked_for(
        self, signed_in, vakka, olga, monkeypatch
    ):
        monkeypatch.setattr(doings, "DOINGS_EVENTS", 1)
        for minute in (1, 2):
            happened(has_signed_in(log=vakka.pk, now=at_minute(minute)))
        browser = signed_in(olga)

        first = browser.get(page_of(vakka) + "?until_date=2026-12-31")
        (older,) = re.findall(r'rel="next"\s+href="([^"]+)"', first.text)
        second = browser.get(page_of(vakka) + unescape(older))

        assert "until_date=2026-12-31" in unescape(older)
        assert re.findall(r"T\d\d:(\d\d):00", first.text + second.text) == ["02", "01"]

    def test_asks_as_much_for_many_doings_as_for_few(self, signed_in, vakka, olga):
        browser = signed_in(olga)

        def asked() -> int:
            happened(played(log=vakka.pk))
            browser.get(page_of(vakka))
            with CaptureQueriesContext(connection) as made:
                browser.get(page_of(vakka))
            # Whether the database has gone back is asked each second, not for each page.
            return sum("retention_ledgerentry" not in one["sql"] for one in made.captured_queries)

        few = asked()
        for _ in range(5):
            happened(played(log=vakka.pk))

        assert asked() == few

    def test_is_refused_to_an_outsider_and_logged(self, signed_in, vakka, charlie):
        assert signed_in(charlie).get(page_of(vakka)).status == 404
        assert Event.objects.get(event_type=EventType.PAGE_REFUSED).log == str(vakka.pk)

    @pytest.mark.parametrize("wrong", ["Matti Virtanen", "0401234567"])
    def test_is_none_for_what_cannot_be_anybody(self, signed_in, vakka, olga, wrong):
        address = reverse("audit:person", args=[vakka.pk, wrong])

        assert signed_in(olga).get(address).status == 404

    def test_answers_a_broken_place_with_404(self, signed_in, vakka, olga):
        assert signed_in(olga).get(page_of(vakka) + "?after=%00").status == 404

    def test_says_what_is_wrong_with_a_day_and_shows_nothing(self, signed_in, vakka, olga):
        happened(has_signed_in(log=vakka.pk))

        answer = signed_in(olga).get(page_of(vakka) + "?from_date=eilen")

        assert 'aria-invalid="true"' in answer.text
        assert "session.signed_in" not in answer.text

    def test_shows_nothing_when_it_cannot_be_logged(self, signed_in, vakka, olga):
        happened(has_signed_in(log=vakka.pk))
        run("REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_web")

        answer = signed_in(olga).get(page_of(vakka))

        assert answer.status == 503
        assert "session.signed_in" not in answer.text

    def test_is_linked_from_the_log(self, signed_in, vakka, olga):
        happened(has_signed_in(log=vakka.pk))

        assert page_of(vakka) in signed_in(olga).get(reverse("audit:log")).text

    def test_an_actor_that_fits_no_address_does_not_close_the_log(self, signed_in, vakka, olga):
        body = json.loads(happened(has_signed_in(log=vakka.pk)).body)
        body |= {"act": {"ref": "a/b"}, "id": str(uuid4())}
        insert(str(vakka.pk), False, json.dumps(body, separators=(",", ":")))

        assert signed_in(olga).get(reverse("audit:log")).status == 200
