"""Law 3: ended means gone at that instant, by every way in, before any purge has run."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.urls import reverse

from accounts.models import RoleAssignment, TeamPermission, Undertaking
from audit import clock
from recordings.models import Conversation
from recordings.queries import Filters, count_open, find_page
from tests.factories import Centre
from tests.laws import ways
from tests.laws.ways import SPOKEN

SHORTLY = timedelta(seconds=4)
ONE_SECOND = timedelta(seconds=1)


def wait_until(at: datetime) -> None:
    """Wait for the database's clock: nobody sets it for a test."""
    while (left := (at - clock.now()).total_seconds()) > 0:
        time.sleep(left)


def listed(centre: Centre, user) -> list[Conversation]:
    page = find_page(
        user=user, purpose=centre.coaching, at=clock.now(), filters=Filters(), cursor=None
    )
    return list(page.rows)


def counted(centre: Centre, user) -> int:
    return count_open(user=user, purpose=centre.coaching, at=clock.now(), filters=Filters())


class TestEnded:
    def test_list_count_page_stream_and_open_player_refuse_a_second_after(
        self, centre: Centre, signed_in: Callable
    ):
        kept = ways.kept(centre)
        alice, play = signed_in(centre.alice), uuid4()
        until = clock.now() + SHORTLY
        for conversation in (kept.call, kept.chat):
            centre.end(conversation, at=until)
        # Until then all of it is hers, and her player is open.
        first = alice.listen(kept.sound.pk, play_id=play, bytes_range="bytes=0-99")
        assert (first.status, len(first.body)) == (206, 100)
        assert str(kept.chat.pk) in ways.listing(alice, kept).text
        assert (len(listed(centre, centre.alice)), counted(centre, centre.alice)) == (2, 2)
        assert clock.now() < until

        wait_until(until + ONE_SECOND)

        next_range = alice.listen(kept.sound.pk, play_id=play, bytes_range="bytes=100-199")
        assert (next_range.status, next_range.body) == (404, b"")
        for way in ways.CONTENT:
            answer = way(alice, kept)
            assert answer.status == 404, way.__name__
            assert SPOKEN not in answer.text
        page = ways.listing(alice, kept)
        assert page.status == 200
        assert str(kept.call.pk) not in page.text
        assert str(kept.chat.pk) not in page.text
        assert (listed(centre, centre.alice), counted(centre, centre.alice)) == ([], 0)
        # Nothing has been purged: it is the rule that refuses.
        assert Conversation.objects.kept().count() == 2

    @pytest.mark.parametrize("before_seconds", [0, 1e-6])
    def test_the_instant_itself_is_after_the_end(self, centre: Centre, before_seconds: float):
        call = centre.call()
        until = centre.end(call, at=clock.now() + timedelta(hours=1))

        visible = Conversation.objects.open_to(
            user=centre.alice, purpose=centre.coaching, at=until - timedelta(seconds=before_seconds)
        )

        assert visible.exists() == (before_seconds > 0)

    @pytest.mark.parametrize("right", [TeamPermission, RoleAssignment, Undertaking])
    def test_a_right_that_ends_closes_the_next_range(
        self, centre: Centre, signed_in: Callable, right: type
    ):
        kept = ways.kept(centre)
        alice, play = signed_in(centre.alice), uuid4()
        until = clock.now() + timedelta(seconds=2)
        right.objects.filter(user=centre.alice).update(until_at=until)
        assert alice.listen(kept.sound.pk, play_id=play, bytes_range="bytes=0-99").status == 206

        wait_until(until)

        answer = alice.listen(kept.sound.pk, play_id=play, bytes_range="bytes=100-199")
        assert (answer.status, answer.body) == (404, b"")

    def test_a_disabled_account_is_refused_at_the_next_range(
        self, centre: Centre, signed_in: Callable
    ):
        kept = ways.kept(centre)
        alice = signed_in(centre.alice)
        assert ways.sound(alice, kept).status == 206

        type(centre.alice).objects.filter(pk=centre.alice.pk).update(is_active=False)

        assert ways.sound(alice, kept).status in (401, 404)

    def test_what_ended_lies_on_no_deeper_page_and_behind_no_filter(
        self, centre: Centre, signed_in: Callable
    ):
        kept = ways.kept(centre)
        centre.end(kept.call, at=clock.now() - ONE_SECOND)
        alice = signed_in(centre.alice)

        answers = [
            alice.get(reverse("recordings:conversations"), query)
            for query in (
                {"kind": "call"},
                {"team": str(centre.claims.pk)},
                {"ends_days": "7"},
                {"language": "fi"},
            )
        ]

        assert not [one for one in answers if str(kept.call.pk) in one.text]
