"""Searches of a log that one person saves: hers alone, and only while she may read that log."""

from __future__ import annotations

import re
from html import unescape
from uuid import uuid4

import pytest
from django.urls import reverse

from accounts.roles import Role
from audit import clock
from audit.models import Event, SavedSearch
from audit.operations import searches
from audit.operations.searches import SearchNotSaved, save_search
from tests import factories

pytestmark = pytest.mark.django_db

ENGLISH = {"Accept-Language": "en"}
FILTER = {"what": "dialog.played", "from_date": "2026-05-01"}


def log_page(log: object, **filters: str) -> str:
    query = "&".join(f"{key}={value}" for key, value in {"log": log, **filters}.items())
    return f"{reverse('audit:log')}?{query}"


@pytest.fixture
def save(signed_in, vakka):
    def saving(person, *, log=None, name="Listening in May", **filters):
        return signed_in(person).post(
            reverse("audit:save_search"),
            {"log": str(log or vakka.pk), "name": name, **(filters or FILTER)},
            headers=ENGLISH,
        )

    return saving


@pytest.fixture
def ingrid(vakka):
    officer = factories.person("Ingrid Officer", employer=vakka)
    factories.give_role(officer, Role.COMPLIANCE_OFFICER, vakka)
    return officer


class TestSave:
    def test_is_opened_by_one_click_and_says_nothing_in_the_log(self, save, signed_in, vakka, olga):
        before = set(Event.objects.values_list("event_type", flat=True))

        answer = save(olga)

        assert answer.headers["Location"] == log_page(vakka.pk, **FILTER)
        assert set(Event.objects.values_list("event_type", flat=True)) == before
        browser = signed_in(olga)
        text = browser.get(log_page(vakka.pk), headers=ENGLISH).text
        (address,) = re.findall(r'href="([^"]+)">Listening in May</a>', text)
        opened = browser.get(reverse("audit:log") + unescape(address), headers=ENGLISH).text
        assert 'value="dialog.played" selected' in opened
        assert 'value="2026-05-01"' in opened

    def test_is_seen_by_nobody_else_and_in_no_other_log(
        self, save, signed_in, vakka, olga, ingrid, aune
    ):
        save(olga)
        save(aune)

        assert "Listening in May" not in signed_in(ingrid).get(log_page(vakka.pk)).text
        assert "Listening in May" not in signed_in(aune).get(log_page("installation")).text
        assert "Listening in May" in signed_in(aune).get(log_page(vakka.pk)).text

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"name": "", **FILTER}, "This field is required."),
            ({"name": "x" * 61, **FILTER}, "at most 60 characters"),
            ({"name": "A", "what": "no.such"}, "There is no filter to save."),
            ({"name": "A", "who": ""}, "There is no filter to save."),
            ({"name": "A", "who": "Alice Anderson"}, "There is no filter to save."),
        ],
    )
    def test_refuses_what_is_no_name_or_no_filter(self, save, signed_in, vakka, olga, given, said):
        browser = signed_in(olga)
        form = {"log": str(vakka.pk), **given}

        answer = browser.post(reverse("audit:save_search"), form, headers=ENGLISH)

        assert answer.status == 302
        assert said in browser.get(log_page(vakka.pk), headers=ENGLISH).text
        assert not SavedSearch.objects.exists()

    def test_refuses_the_same_name_twice_and_more_than_fifty(
        self, save, olga, aune, vakka, monkeypatch
    ):
        monkeypatch.setattr(searches, "MOST_SEARCHES", 2)
        mine = {"owner": olga.reference, "log": vakka.pk, "query": "what=x", "now": clock.now()}
        save_search(name="A", **mine)

        with pytest.raises(SearchNotSaved, match="name"):
            save_search(name="A", **mine)
        save_search(name="B", **mine)
        with pytest.raises(SearchNotSaved, match="2"):
            save_search(name="C", **mine)

        save_search(name="A", **(mine | {"log": None}))
        save_search(name="A", **(mine | {"owner": aune.reference}))
        assert SavedSearch.objects.count() == 4

    def test_is_refused_without_the_right_to_the_log(self, save, olga, charlie, onni):
        assert save(charlie).status == 404
        assert save(olga, log=onni.pk).status == 404
        assert not SavedSearch.objects.exists()


class TestDelete:
    def delete(self, browser, search, log):
        return browser.post(reverse("audit:delete_search", args=[search]), {"log": str(log)})

    def test_deletes_hers_alone(self, save, signed_in, vakka, onni, olga, ingrid, aune):
        save(olga)
        save(ingrid)
        hers = SavedSearch.objects.get(owner=olga.reference).pk

        for other, log in ((ingrid, vakka.pk), (aune, vakka.pk), (aune, onni.pk), (olga, onni.pk)):
            assert self.delete(signed_in(other), hers, log).status == 404
        assert self.delete(signed_in(olga), uuid4(), vakka.pk).status == 404
        assert SavedSearch.objects.count() == 2

        assert self.delete(signed_in(olga), hers, vakka.pk).status == 302
        assert list(SavedSearch.objects.values_list("owner", flat=True)) == [ingrid.reference]
        assert self.delete(signed_in(olga), hers, vakka.pk).status == 404

    def test_and_all_else_is_refused_once_the_right_has_ended(self, save, signed_in, vakka, olga):
        save(olga)
        hers = SavedSearch.objects.get().pk
        olga.role_assignments.update(until_at=clock.now())

        assert self.delete(signed_in(olga), hers, vakka.pk).status == 404
        assert signed_in(olga).get(log_page(vakka.pk)).status == 404
        assert SavedSearch.objects.exists()
