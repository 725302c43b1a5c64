"""The undertaking of confidentiality: read first, accepted by version, renewed in time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from dateutil.relativedelta import relativedelta
from django.db import DatabaseError

from accounts.models import Undertaking, UndertakingText
from accounts.operations import NothingToAccept, accept_undertaking
from accounts.queries import current_text, has_undertaken, last_undertaking
from audit import clock
from audit.models import Event
from tests.factories import Centre, person
from tests.harness.faults import log_refused
from tests.harness.visitors import Visitor

PATH = "/me/undertaking/"
ACCEPT = {"version": "1", "accepted": "on"}


def newer(version: int = 2, *, after: timedelta = timedelta(seconds=-1)) -> UndertakingText:
    text = "I keep it secret even longer."
    return UndertakingText.objects.create(
        version=version,
        text_fi=text,
        text_sv=text,
        text_en=text,
        in_force_from=clock.now() + after,
        valid_months=6,
    )


class TestAcceptUndertaking:
    def test_binds_for_its_months_and_is_an_event(self, centre: Centre):
        emma, now = person("Emma Employee"), clock.now()

        made = accept_undertaking(user=emma, version=1, now=now)

        assert made.until_at == now + relativedelta(months=12)
        assert has_undertaken(user=emma, at=now)
        assert not has_undertaken(user=emma, at=made.until_at)
        event = Event.objects.filter(event_type="undertaking.accepted").latest("id")
        assert (event.actor, event.target) == (str(emma.reference), str(emma.reference))
        assert '"version":1' in event.body

    def test_a_second_time_renews(self, centre: Centre):
        emma, now = person("Emma Employee"), clock.now()
        accept_undertaking(user=emma, version=1, now=now - timedelta(days=300))

        accept_undertaking(user=emma, version=1, now=now)

        assert has_undertaken(user=emma, at=now + timedelta(days=300))
        last = last_undertaking(user=emma)
        assert last is not None
        assert last.from_at == now

    @pytest.mark.parametrize("version", [0, 2, 3])
    def test_of_another_version_than_the_one_in_force_is_refused(
        self, centre: Centre, version: int
    ):
        newer(3, after=timedelta(days=1))
        emma = person("Emma Employee")

        with pytest.raises(NothingToAccept):
            accept_undertaking(user=emma, version=version, now=clock.now())

        assert not Undertaking.objects.filter(user=emma).exists()

    def test_a_newer_version_must_be_accepted_once_it_is_in_force(self, centre: Centre):
        now = clock.now()
        assert has_undertaken(user=centre.alice, at=now)

        text = newer(after=timedelta(hours=1))

        assert has_undertaken(user=centre.alice, at=text.in_force_from - timedelta(microseconds=1))
        assert not has_undertaken(user=centre.alice, at=text.in_force_from)
        assert current_text(at=text.in_force_from) == text

    def test_without_any_text_nobody_has_undertaken(self, centre: Centre):
        Undertaking.objects.all().delete()
        UndertakingText.objects.all().delete()

        assert current_text(at=clock.now()) is None
        assert not has_undertaken(user=centre.alice, at=clock.now())
        with pytest.raises(NothingToAccept):
            accept_undertaking(user=centre.alice, version=1, now=clock.now())

    def test_that_cannot_be_logged_does_not_bind(self, centre: Centre):
        emma = person("Emma Employee")

        with log_refused(centre.stage), pytest.raises(DatabaseError):
            accept_undertaking(user=emma, version=1, now=clock.now())

        assert not has_undertaken(user=emma, at=clock.now())


class TestPage:
    def test_shows_the_text_before_it_is_accepted(self, centre: Centre, signed_in: Callable):
        Undertaking.objects.filter(user=centre.alice).delete()
        alice: Visitor = signed_in(centre.alice)

        answer = alice.get(PATH)

        assert "I keep secret what I hear." in answer.text
        assert 'name="version" value="1"' in answer.text
        assert not Undertaking.objects.filter(user=centre.alice).exists()

    @pytest.mark.parametrize(
        "said", [{"version": "1"}, {"accepted": "on"}, {"version": "x", "accepted": "on"}]
    )
    def test_is_not_accepted_by_half(
        self, centre: Centre, signed_in: Callable, said: dict[str, str]
    ):
        Undertaking.objects.filter(user=centre.alice).delete()

        answer = signed_in(centre.alice).post(PATH, said)

        assert answer.status == 422
        assert not Undertaking.objects.filter(user=centre.alice).exists()

    def test_tells_who_has_read_a_version_that_is_over(self, centre: Centre, signed_in: Callable):
        alice: Visitor = signed_in(centre.alice)
        alice.get(PATH)
        newer()

        answer = alice.post(PATH, ACCEPT)

        assert answer.status == 422
        assert "I keep it secret even longer." in answer.text
        assert 'name="version" value="2"' in answer.text
        assert not Undertaking.objects.filter(user=centre.alice, text_id=2).exists()
        assert alice.post(PATH, {**ACCEPT, "version": "2"}).status == 302
        assert has_undertaken(user=centre.alice, at=clock.now())

    @pytest.mark.parametrize(
        "elsewhere",
        [
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
            "http:evil.example",
            "\thttps://evil.example",
        ],
    )
    def test_never_leads_out_of_the_site(self, centre: Centre, signed_in: Callable, elsewhere: str):
        alice: Visitor = signed_in(centre.alice)

        shown = alice.get(PATH, {"next": elsewhere})
        answer = alice.post(PATH, {**ACCEPT, "next": elsewhere})

        assert (answer.status, answer.headers["Location"]) == (302, "/")
        assert "evil.example" not in shown.text.replace("next=", "").partition("<main")[2]

    def test_that_cannot_be_logged_is_not_accepted(self, centre: Centre, signed_in: Callable):
        Undertaking.objects.filter(user=centre.alice).delete()
        alice: Visitor = signed_in(centre.alice)

        with log_refused(centre.stage):
            answer = alice.post(PATH, ACCEPT)

        assert answer.status == 503
        assert not has_undertaken(user=centre.alice, at=clock.now())


class TestPreferences:
    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            ({"keys": "off"}, (False, "1.00", False)),
            ({"speed": "1.5"}, (True, "1.50", False)),
            ({"speed": "9"}, (True, "2.00", False)),
            ({"speed": "0.1"}, (True, "0.75", False)),
            ({"skip_silence": "on"}, (True, "1.00", True)),
            ({}, (True, "1.00", False)),
        ],
    )
    def test_are_remembered_within_their_bounds(
        self, centre: Centre, signed_in: Callable, said: dict[str, str], expected: tuple
    ):
        answer = signed_in(centre.alice).post("/me/preferences/", said)

        centre.alice.refresh_from_db()
        assert answer.status == 204
        assert expected == (
            centre.alice.uses_letter_keys,
            str(centre.alice.playback_speed),
            centre.alice.skips_silence,
        )

    @pytest.mark.parametrize("said", [{"speed": "fast"}, {"keys": "maybe"}, {"speed": "nan"}])
    def test_that_make_no_sense_change_nothing(
        self, centre: Centre, signed_in: Callable, said: dict[str, str]
    ):
        assert signed_in(centre.alice).post("/me/preferences/", said).status == 422

    def test_are_nobodys_who_is_not_signed_in(self, centre: Centre, visitor: Visitor):
        assert visitor.post("/me/preferences/", {"keys": "off"}).status == 302
