"""The pages of conversations: what stands on them, for whom, and what of it is logged."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Undertaking
from accounts.roles import ROLES_BY_PERMISSION, Role
from audit import clock
from audit.models import Event
from config.navigation import ENTRIES
from recordings.formats.incoming import IncomingParty
from recordings.models import Conversation
from tests.factories import Centre, sound_of
from tests.harness.faults import log_refused
from tests.harness.visitors import Visitor

LIST = "/conversations/"


def page_of(conversation: Conversation) -> str:
    return reverse("recordings:conversation", args=[conversation.pk])


def rows_in(text: str) -> list[str]:
    """The ids of the conversations that the list links to, in its order."""
    return re.findall(r'data-row-link href="/conversations/([0-9a-f-]{36})/', text)


class TestList:
    def test_shows_what_is_hers_newest_first_and_says_how_many(
        self, centre: Centre, signed_in: Callable
    ):
        now = clock.now()
        hers = [
            centre.call(ended_at=now - timedelta(hours=hours), seconds=0.5) for hours in (3, 1, 2)
        ]
        centre.call(of=centre.sales)
        centre.call(of=centre.funds, by=centre.onni_pbx)

        answer = signed_in(centre.alice).get(LIST)

        assert rows_in(answer.text) == [str(hers[place].pk) for place in (1, 2, 0)]
        assert re.search(r"\b3\b", answer.text)
        assert answer.headers["Cache-Control"] == "no-store"

    def test_is_an_event_that_names_the_filters_and_never_what_they_hold(
        self, centre: Centre, signed_in: Callable
    ):
        centre.call()

        signed_in(centre.alice).get(LIST, {"team": str(centre.claims.pk), "language": "fi"})

        event = Event.objects.get(event_type="conversations.listed")
        assert (event.actor, event.purpose) == (str(centre.alice.reference), "coaching")
        assert '"count":1' in event.body
        assert "team_id" in event.body
        assert str(centre.claims.pk) not in event.body

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"kind": "chat"}, {"chat"}),
            ({"kind": "call"}, {"call", "old"}),
            ({"language": "sv"}, set()),
            ({"until_date": "2026-01-31"}, {"old"}),
            ({"from_date": "2026-02-01"}, {"call", "chat"}),
            ({"ends_days": "1"}, set()),
            # What is not valid narrows nothing and is not a fault.
            ({"kind": "letter"}, {"call", "chat", "old"}),
            ({"from_date": "31.13.2026"}, {"call", "chat", "old"}),
            ({"team": "00000000-0000-0000-0000-000000000000"}, {"call", "chat", "old"}),
            ({"until_date": "9999-12-31"}, {"call", "chat", "old"}),
            ({"cursor": "x" * 500}, {"call", "chat", "old"}),
        ],
    )
    def test_is_narrowed(
        self, centre: Centre, signed_in: Callable, query: dict[str, str], expected: set[str]
    ):
        january = clock.now().replace(year=2026, month=1, day=15)
        if january > clock.now() or january < clock.now() - timedelta(days=5000):
            pytest.skip("the clock of the database is elsewhere")
        made = {"call": centre.call(), "chat": centre.chat(), "old": centre.call(ended_at=january)}
        # Its rule has ended by now: another one is needed for it to be seen.
        centre.end(made["old"], at=clock.now() + timedelta(days=30))

        answer = signed_in(centre.alice).get(LIST, query)

        assert answer.status == 200
        names = {str(one.pk): name for name, one in made.items()}
        assert {names[pk] for pk in rows_in(answer.text)} == expected

    def test_turns_its_pages_without_losing_a_row(self, centre: Centre, signed_in: Callable):
        template = centre.chat()
        many(template, 119)
        alice: Visitor = signed_in(centre.alice)

        seen, path, pages = [], LIST, 0
        while path:
            answer = alice.get(path)
            seen += rows_in(answer.text)
            pages += 1
            links = re.findall(r'href="(\?[^"]*cursor=f[^"]*)"', answer.text)
            path = LIST + html.unescape(links[0]) if links else ""

        assert pages == 3
        assert len(seen) == len(set(seen)) == 120

    def test_asks_the_database_as_often_whatever_its_length(
        self, centre: Centre, signed_in: Callable
    ):
        template = centre.chat()
        alice: Visitor = signed_in(centre.alice)
        alice.get(LIST)

        def queries() -> int:
            with centre.stage.acting_as("web"), CaptureQueriesContext(connection) as asked:
                assert alice.client.get(LIST).status_code == 200
            # Whether the database has gone back is asked each second, not for each page.
            return sum(
                one["sql"].startswith("SELECT") and "retention_ledgerentry" not in one["sql"]
                for one in asked.captured_queries
            )

        few = queries()
        many(template, 49)

        assert queries() == few

    def test_is_nobodys_without_a_role_and_says_so_in_the_log(
        self, centre: Centre, signed_in: Callable
    ):
        for somebody in (centre.olga, centre.aune, centre.sulo):
            assert signed_in(somebody).get(LIST).status == 404
        assert Event.objects.filter(event_type="page.refused").count() == 3

    def test_shows_nothing_when_it_cannot_be_logged(self, centre: Centre, signed_in: Callable):
        call = centre.call()
        alice: Visitor = signed_in(centre.alice)

        with log_refused(centre.stage):
            answer = alice.get(LIST)

        assert answer.status == 503
        assert str(call.pk) not in answer.text

    def test_takes_no_other_method(self, centre: Centre, signed_in: Callable):
        alice: Visitor = signed_in(centre.alice)

        for path in (LIST, page_of(centre.call())):
            assert alice.post(path).status == 405


def many(template: Conversation, count: int) -> None:
    """Copy a conversation as rows alone, for lists: nothing of them can be opened."""
    segment, use = template.segments.get(), template.permitted_uses.get(only_for=None)
    rows = [
        Conversation(
            **{
                field.attname: getattr(template, field.attname)
                for field in Conversation._meta.concrete_fields
                if field.attname not in ("id", "external_id_hash", "started_at")
            },
            external_id_hash=uuid4().bytes,
            started_at=template.started_at - timedelta(seconds=number // 7),
        )
        for number in range(count)
    ]
    Conversation.objects.bulk_create(rows)
    for part in (segment, use):
        copies: list[Any] = []
        for row in rows:
            values = {
                field.attname: getattr(part, field.attname)
                for field in part._meta.concrete_fields
                if field.attname != "id"
            }
            copies.append(type(part)(**{**values, "conversation_id": row.pk}))
        manager: Any = type(part)._default_manager
        manager.bulk_create(copies)


class TestCallPage:
    def test_has_a_player_says_until_when_and_why_and_is_an_event(
        self, centre: Centre, signed_in: Callable
    ):
        call = centre.call()
        until = clock.now() + timedelta(days=12, hours=1)
        centre.end(call, at=until)

        answer = signed_in(centre.alice).get(page_of(call))

        assert answer.status == 200
        said = html.unescape(answer.text)
        assert f"/conversations/sound/{sound_of(call).pk}?purpose=coaching&play=" in said
        assert f"/conversations/waveform/{sound_of(call).pk}?purpose=coaching" in said
        assert re.search(r"\b12\b", said)
        for shown in ("Aino Agentti", "Outi Olematon", "Claims", "Vakka"):
            assert shown in said
        event = Event.objects.get(event_type="conversation.viewed")
        assert (event.target, event.purpose) == (str(call.pk), "coaching")
        assert event.basis is not None
        assert event.basis.startswith("rule:")

    def test_is_another_listening_each_time(self, centre: Centre, signed_in: Callable):
        call = centre.call()
        alice: Visitor = signed_in(centre.alice)

        plays = {
            re.search(r"play=([0-9a-f-]{36})", html.unescape(alice.get(page_of(call)).text))
            for _ in range(2)
        }

        assert len({found[1] for found in plays if found}) == 2

    def test_shows_what_people_are_called_as_text_only(self, centre: Centre, signed_in: Callable):
        nasty = '<script>alert("x")</script>'
        party = IncomingParty("customer", nasty, identifiers=(("tel", "+358900001001"),))

        answer = signed_in(centre.alice).get(page_of(centre.call(customer=party)))

        assert nasty not in answer.text
        assert html.escape(nasty, quote=False)[:15] in answer.text

    def test_of_a_held_call_opens_to_its_handler_for_the_matter(
        self, centre: Centre, signed_in: Callable
    ):
        call = centre.call()
        centre.matter_of(call)
        casper: Visitor = signed_in(centre.casper)

        answers = [
            casper.get(page_of(call), {"purpose": purpose}) for purpose in ("matter", "coaching")
        ]

        assert [answer.status for answer in answers] == [200, 404]
        assert "9999" not in answers[0].text
        event = Event.objects.get(event_type="conversation.viewed")
        assert (event.purpose, str(event.basis).partition(":")[0]) == ("matter", "matter")

    def test_without_its_key_says_that_it_cannot_be_reached(
        self, centre: Centre, signed_in: Callable
    ):
        call = centre.call()
        alice: Visitor = signed_in(centre.alice)
        for path in Path(centre.stage.keys).rglob("*"):
            if path.is_file() and "kek" in str(path):
                path.unlink()

        answer = alice.get(page_of(call))

        assert answer.status == 503
        assert "Outi" not in answer.text


class TestChatPage:
    def test_shows_every_message_as_text_and_is_an_event(self, centre: Centre, signed_in: Callable):
        chat = centre.chat("Hei, <b>maksettu?</b>", "On, se lähti tänään.")

        answer = signed_in(centre.alice).get(page_of(chat))

        assert answer.status == 200
        assert "&lt;b&gt;maksettu?&lt;/b&gt;" in answer.text
        assert "On, se lähti tänään." in answer.text
        assert Event.objects.get(event_type="chat.read").target == str(chat.pk)

    def test_has_no_player(self, centre: Centre, signed_in: Callable):
        answer = signed_in(centre.alice).get(page_of(centre.chat()))

        assert "/conversations/sound/" not in answer.text


class TestUndertakingFirst:
    def test_who_has_not_undertaken_is_sent_to_it_and_comes_back(
        self, centre: Centre, signed_in: Callable
    ):
        call = centre.call()
        Undertaking.objects.filter(user=centre.alice).delete()
        alice: Visitor = signed_in(centre.alice)

        sent = alice.get(page_of(call), {"purpose": "coaching"})
        there = alice.get(sent.headers["Location"])
        accepted = alice.post(
            sent.headers["Location"],
            {"version": 1, "accepted": "on", "next": f"{page_of(call)}?purpose=coaching"},
        )

        assert sent.status == 302
        assert sent.headers["Location"].startswith("/me/undertaking/?next=%2Fconversations")
        assert "I keep secret what I hear." in there.text
        assert (accepted.status, accepted.headers["Location"]) == (
            302,
            f"{page_of(call)}?purpose=coaching",
        )
        assert alice.get(accepted.headers["Location"]).status == 200
        assert Event.objects.filter(event_type="conversation.viewed").count() == 1


@pytest.mark.parametrize("language", ["fi", "sv", "en"])
def test_every_page_opens_in_every_language(
    centre: Centre, signed_in: Callable, language: str
) -> None:
    paths = [LIST, page_of(centre.call()), page_of(centre.chat()), "/me/access/"]
    alice, olga = signed_in(centre.alice), signed_in(centre.olga)
    for somebody in (alice, olga):
        somebody.client.cookies["tallenne_language"] = language

    answers = [alice.get(path) for path in paths]
    answers += [
        olga.get(reverse(name))
        for name, _label, permission in ENTRIES
        if permission is not None and Role.COMPLIANCE_OFFICER in ROLES_BY_PERMISSION[permission]
    ]

    assert {answer.status for answer in answers} == {200}
    assert all(f'<html lang="{language}"' in answer.text for answer in answers)
