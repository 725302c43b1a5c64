"""On the pages a compliance officer of all companies pauses purge runs, and stops one."""

from __future__ import annotations

from django.urls import reverse

from accounts.roles import Role
from audit import clock
from audit.events import Actor
from audit.models import Event
from retention.models import PurgePause, PurgeRun
from retention.operations.purge import control
from tests import factories

PAUSE, RESUME = "retention:purge_pause", "retention:purge_resume"


def a_run() -> PurgeRun:
    """A run that is under way."""
    now = clock.now()
    return PurgeRun.objects.create(
        actor="system:purge", started_at=now, heartbeat_at=now, due_count=7
    )


def an_officer(at_browser):
    """The browser of a compliance officer of every company."""
    person = factories.person("Oona Officer")
    factories.give_role(person, Role.COMPLIANCE_OFFICER, None)
    return at_browser(person)


class TestPausing:
    def test_is_shown_logged_and_taken_back(self, centre, at_browser):
        oona, runs = an_officer(at_browser), reverse("retention:purge_runs")

        oona.post(reverse(PAUSE))
        paused = oona.get(runs).text
        oona.post(reverse(RESUME))
        going = oona.get(runs).text

        assert "Purge runs have been paused since" in paused
        assert reverse(RESUME) in paused
        assert reverse(PAUSE) in going
        assert not control.is_paused()
        said = Event.objects.filter(event_type__in=["purge.paused", "purge.resumed"])
        assert said.exclude(actor="system:purge").count() == 2

    def test_is_refused_to_the_officer_of_one_company_of_two(self, centre, olli):
        for name in (PAUSE, RESUME):
            assert olli.post(reverse(name)).status == 404
        run = a_run()
        assert olli.post(reverse("retention:purge_stop", args=[run.pk])).status == 404

        run.refresh_from_db()
        assert run.stop_asked_at is None
        assert not PurgePause.objects.exists()
        assert Event.objects.filter(event_type="page.refused").count() == 3
        assert reverse(PAUSE) not in olli.get(reverse("retention:purge_runs")).text

    def test_is_refused_to_a_coach(self, centre, alice):
        assert alice.post(reverse(PAUSE)).status == 404

        assert not PurgePause.objects.exists()


class TestARunUnderWay:
    def test_is_asked_to_stop_once(self, centre, at_browser):
        oona, run = an_officer(at_browser), a_run()

        for _ in range(2):
            oona.post(reverse("retention:purge_stop", args=[run.pk]))
        page = oona.get(reverse("retention:purge_run", args=[run.pk])).text

        assert "The run ends after the batch it is at." in page
        assert Event.objects.filter(event_type="purge_run.stopped").count() == 1

    def test_says_that_the_store_has_slowed_it_down_and_how_many_are_left(self, centre, at_browser):
        oona, run = an_officer(at_browser), a_run()
        PurgeRun.objects.update(slow_since=clock.now())

        piece = oona.get(reverse("retention:purge_run_progress", args=[run.pk])).text

        assert "Slowed down since" in piece
        assert "0 of 7 verified gone" in piece


def test_clocks_that_disagree_are_said_on_the_page(centre, olga):
    control.pause(actor=Actor.system("purge"), now=clock.now(), reason=PurgePause.Reason.CLOCKS)

    page = olga.get(reverse("retention:purge_runs")).text

    assert "The clocks of the database and of the object store disagree." in page
