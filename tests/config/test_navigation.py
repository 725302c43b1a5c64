"""The main menu and where everybody begins: the pages that are hers and no others."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
from django.urls import reverse

from accounts.roles import Role
from config.navigation import ENTRIES
from tests import factories
from tests.factories import Centre
from tests.harness.visitors import Visitor


def menu_of(text: str) -> list[str]:
    found = re.search(r'<ul class="menu">(.*?)</ul>', text, re.DOTALL)
    return re.findall(r'href="([^"]+)"', found[1]) if found else []


def current_in(text: str) -> list[str]:
    found = re.search(r'<ul class="menu">(.*?)</ul>', text, re.DOTALL)
    return re.findall(r'href="([^"]+)"\s+aria-current="page"', found[1]) if found else []


class TestMenu:
    @pytest.mark.parametrize(
        ("name", "first", "expected"),
        [
            ("alice", "recordings:conversations", {"recordings:conversations"}),
            ("casper", "recordings:conversations", {"recordings:conversations"}),
            ("aune", "audit:log", {"audit:log"}),
            (
                "olga",
                "retention:attention",
                {
                    *(
                        "retention:attention",
                        "retention:purge_runs",
                        "retention:rules",
                        "retention:matters",
                    ),
                    *("retention:uncovered", "recordings:quarantine", "audit:log"),
                    *("audit:growth", "audit:report"),
                },
            ),
            ("sulo", "accounts:my_access", {"admin:index"}),
        ],
    )
    def test_has_the_pages_of_her_roles_and_begins_with_the_first(
        self, centre: Centre, signed_in: Callable, name: str, first: str, expected: set[str]
    ):
        somebody: Visitor = signed_in(centre.person(name))

        home = somebody.get("/")
        shown = menu_of(somebody.get("/me/access/").text)

        assert (home.status, home.headers["Location"]) == (302, reverse(first))
        assert set(shown) == {reverse(one) for one in (*expected, "accounts:my_access")}

    @pytest.mark.parametrize("role", Role)
    def test_leads_everybody_only_where_she_may_go(
        self, centre: Centre, signed_in: Callable, role: Role
    ):
        somebody = factories.person(f"Somebody {role.label}", employer=centre.vakka)
        factories.give_role(somebody, role, centre.vakka)
        factories.undertake(somebody)
        visitor: Visitor = signed_in(somebody)

        shown = menu_of(visitor.get("/me/access/").text)

        assert [visitor.get(path).status for path in shown] == [200] * len(shown)
        hidden = {reverse(name) for name, _label, _permission in ENTRIES} - set(shown)
        assert {visitor.get(path).status for path in hidden} <= {404}

    def test_marks_the_page_one_is_on_and_no_other(self, centre: Centre, signed_in: Callable):
        olga: Visitor = signed_in(centre.olga)
        for name in ("retention:rules", "recordings:quarantine", "audit:log"):
            assert current_in(olga.get(reverse(name)).text) == [reverse(name)]
        call = centre.call()
        alice: Visitor = signed_in(centre.alice)
        below = alice.get(reverse("recordings:conversation", args=[call.pk]))

        assert current_in(below.text) == [reverse("recordings:conversations")]

    def test_says_who_is_signed_in_as_text(self, centre: Centre, signed_in: Callable):
        nasty = factories.person("Nelli <b>Nasty</b>")

        text = signed_in(nasty).get("/me/access/").text

        assert "<b>Nasty" not in text
        assert "Nelli <b>Nasty</b>" in html.unescape(text)

    def test_is_not_there_for_who_is_not_signed_in(self, centre: Centre, visitor: Visitor):
        assert menu_of(visitor.get("/account/login/").text) == []
        assert visitor.get("/").headers["Location"].startswith("/account/login/")


class TestNowhere:
    def test_is_404_for_everybody_and_says_nothing(
        self, centre: Centre, visitor: Visitor, signed_in: Callable
    ):
        for somebody in (visitor, signed_in(centre.alice), signed_in(centre.sulo)):
            answer = somebody.get("/no/such/page/")

            assert answer.status == 404
            assert "Traceback" not in answer.text


class TestHealth:
    def test_says_that_it_works_without_sign_in(self, database: str, visitor: Visitor):
        answer = visitor.get("/livez")

        assert (answer.status, answer.text) == (200, '{"status": "ok"}')
        assert visitor.post("/livez").status == 405


class TestLanguage:
    def test_is_chosen_by_a_button_and_stays(self, centre: Centre, visitor: Visitor):
        for code in ("sv", "fi", "en"):
            answer = visitor.post("/language/setlang/", {"language": code, "next": "/"})

            assert (answer.status, answer.headers["Location"]) == (302, "/")
            assert f'<html lang="{code}"' in visitor.get("/account/login/").text

    def test_never_leads_out_of_the_site(self, centre: Centre, visitor: Visitor):
        answer = visitor.post(
            "/language/setlang/", {"language": "sv", "next": "https://evil.example/"}
        )

        assert "evil" not in answer.headers["Location"]
