"""What needs a person is red in all four places, and of one's own companies only on the page."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import HTTPServer
from threading import Thread

import pytest
from celery.schedules import schedule
from django.conf import settings
from django.core.management import call_command
from django.urls import reverse

from accounts.roles import Role
from audit import clock
from audit.events import Actor, EventType
from audit.models import Stream
from audit.operations import append_alone
from config import views
from config.celery import app, note_end
from recordings.models import Conversation
from retention import tasks
from retention.attention import KINDS, Asked, Need, look, needs
from retention.management.commands.metrics import Exposition
from retention.models import Disposition, PurgeRun, Recomputation, TaskEnd
from retention.operations import timetable
from retention.timetable import task_ends
from tests import factories
from tests.retention.given import nothing_late

MINUTE = timedelta(minutes=1)


def all_done(at: datetime) -> None:
    """Every task of the timetable was done at that time."""
    for task in {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}:
        timetable.note_end(task=task, now=at)


def found(at: datetime) -> dict[str, Need]:
    return {need.kind.code: need for need in needs(Asked(at))}


@pytest.fixture
def quiet(centre):
    """The contact centre, in which everything is done."""
    nothing_late()
    return centre


class TestTimetable:
    def test_a_task_that_is_done_in_time_needs_nobody(self, quiet):
        assert "late_tasks" not in found(clock.now())

    @pytest.mark.parametrize("task", ["retention.tasks.purge", "audit.tasks.verify_logs"])
    def test_one_interval_without_a_task_is_late(self, quiet, task):
        interval = task_ends(at=clock.now())[task][1]
        now = clock.now() + interval * 1.25 + 6 * MINUTE
        all_done(now)
        assert "late_tasks" not in found(now)

        timetable.note_end(task=task, now=now - interval * 1.25 - 5.1 * MINUTE)

        assert found(now)["late_tasks"].found.codes == (task,)

    def test_a_task_that_never_was_done_counts_from_the_last_upgrade(self, quiet):
        TaskEnd.objects.all().delete()

        later = clock.now() + timedelta(days=3)
        assert found(later)["late_tasks"].found.count == len(task_ends(at=later))

    def test_a_long_purge_is_alive_by_its_run(self, quiet):
        now = clock.now() + timedelta(hours=9)
        all_done(now)
        timetable.note_end(task=timetable.PURGE, now=now - timedelta(hours=9))
        assert "late_tasks" in found(now)

        PurgeRun.objects.create(actor="system:purge", started_at=now, heartbeat_at=now)

        assert "late_tasks" not in found(now)

    def test_workers_note_the_end_of_what_the_timetable_rings_for(self, stage, quiet):
        TaskEnd.objects.all().delete()
        with stage.acting_as("purge"):
            note_end(sender=tasks.purge)
            note_end(sender=tasks.mirror_holds)

        assert [row.task for row in TaskEnd.objects.all()] == ["retention.tasks.purge"]

    @pytest.mark.parametrize(
        "night", [datetime(2026, 10, 25, tzinfo=UTC), datetime(2027, 3, 28, tzinfo=UTC)]
    )
    def test_daily_tasks_ring_once_a_day_on_the_nights_that_clocks_change(self, night):
        now = night - timedelta(days=1)
        day = schedule(86_400, nowfun=lambda: now, app=app)
        last, rings = now, []
        while now < night + timedelta(days=2):
            now += 10 * MINUTE
            if day.is_due(last).is_due:
                rings.append(now)
                last = now

        assert rings == [night + timedelta(days=days) for days in range(3)]


class TestKinds:
    def test_nothing_needs_anybody_where_all_is_done(self, quiet):
        assert found(clock.now()) == {}

    def test_a_log_that_is_not_sealed(self, quiet):
        append_alone(
            event_type=EventType.SOURCE_RELEASED,
            actor=Actor.system("test"),
            now=clock.now(),
            log=quiet.vakka.pk,
        )

        assert "unsealed" not in found(clock.now())
        assert found(clock.now() + 16 * MINUTE)["unsealed"].found.count == 1
        others = Asked(clock.now() + 16 * MINUTE, [quiet.onni])
        assert "unsealed" not in {need.kind.code for need in needs(others)}

    def test_the_brake_a_change_of_rules_and_a_proposal(self, quiet):
        now = clock.now()
        PurgeRun.objects.create(
            actor="system:purge", started_at=now, heartbeat_at=now, state=PurgeRun.State.BRAKED
        )
        Recomputation.objects.create(controller=quiet.vakka, requested_at=now - 15 * MINUTE)
        Disposition.objects.create(
            controller=quiet.vakka,
            about="conversation",
            target=quiet.vakka.pk,
            kind="destroy",
            reason="A private call.",
            proposed_at=now,
            proposed_by=quiet.olga,
        )

        assert set(found(now)) == {"braked", "recomputing", "proposals"}

    def test_every_role_that_asks_may(self, stage, quiet):
        for role in ("web", "work", "purge"):
            with stage.acting_as(role):
                assert len(look(Asked(clock.now()))) == len(KINDS)


@pytest.fixture
def uncovered(quiet) -> Conversation:
    """A chat that no rule covers."""
    made = quiet.chat()
    Conversation.objects.filter(pk=made.pk).update(uncovered_at=clock.now())
    return made


class TestPage:
    def test_shows_how_many_since_when_and_where_to_go(self, uncovered, olga):
        timetable.note_end(task=timetable.PURGE, now=clock.now() - timedelta(days=9))

        page = olga.get(reverse("retention:attention"))

        assert page.status == 200
        assert "Something is stuck" in page.text
        assert "retention.tasks.purge" in page.text
        assert f'href="{reverse("retention:uncovered")}"' in page.text
        assert re.search(r'tag warn">1<', page.text)

    def test_says_that_nothing_needs_her(self, quiet, olga):
        assert "Nothing needs you" in olga.get(reverse("retention:attention")).text

    def test_counts_no_other_companys(self, uncovered, olli):
        assert "Nothing needs you" in olli.get(reverse("retention:attention")).text

    def test_is_nothing_for_an_outsider(self, uncovered, alice):
        assert alice.get(reverse("retention:attention")).status == 404


@pytest.fixture
def diana(centre, at_browser):
    """The data protection officer's browser."""
    person = factories.person("Diana DPO")
    factories.give_role(person, Role.DATA_PROTECTION_OFFICER, centre.vakka)
    return at_browser(person)


class TestDeciding:
    def test_takes_two_at_their_browsers(self, uncovered, olga, diana):
        page = reverse("retention:undecided_conversation", args=[uncovered.pk])
        assert page in olga.get(reverse("retention:uncovered")).text

        proposal = {"deed": "propose", "kind": "destroy", "reason": "A private call."}
        assert diana.post(page, proposal).status == 302
        assert not Disposition.objects.exists()
        assert olga.post(page, proposal | {"reason": ""}).status == 422
        assert olga.post(page, proposal).status == 302
        assert 'value="agree"' not in olga.get(page).text
        assert olga.post(page, {"deed": "agree"}).status == 302
        assert Disposition.objects.get().agreed_at is None
        assert 'value="agree"' in diana.get(page).text
        assert diana.post(page, {"deed": "agree"}).status == 302

        assert Disposition.objects.get().agreed_by.full_name == "Diana DPO"

    def test_is_nothing_for_outsiders(self, uncovered, alice, olli):
        page = reverse("retention:undecided_conversation", args=[uncovered.pk])

        assert [who.get(page).status for who in (alice, olli)] == [404, 404]
        assert olli.post(page, {"deed": "propose"}).status == 404

    def test_of_what_a_rule_covers_there_is_no_page(self, quiet, olga):
        covered = quiet.chat()

        page = reverse("retention:undecided_conversation", args=[covered.pk])
        assert olga.get(page).status == 404


class TestHealth:
    @pytest.fixture(autouse=True)
    def _anew(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(views, "_last_health", None)

    def test_is_one_word_for_strangers(self, quiet, visitor):
        assert visitor.get("/healthz").text == '{"status": "ok"}'

    def test_says_that_somebody_has_to_decide(self, uncovered, visitor):
        answer = visitor.get("/healthz")

        assert (answer.status, answer.text) == (200, '{"status": "attention"}')

    def test_is_red_when_something_is_stuck_and_the_web_lives_on(self, quiet, visitor):
        TaskEnd.objects.update(ended_at=clock.now() - timedelta(days=9))

        answer = visitor.get("/healthz")

        assert (answer.status, answer.text) == (503, '{"status": "stuck"}')
        assert visitor.get("/livez").status == 200


class TestMetrics:
    def test_are_printed_for_a_collector(self, uncovered, capsys):
        call_command("metrics")

        lines = capsys.readouterr().out.splitlines()
        assert 'tallenne_attention{kind="uncovered",stuck="0"} 1' in lines
        assert 'tallenne_attention{kind="overdue",stuck="1"} 0' in lines
        ages = [line for line in lines if line.startswith("tallenne_task_age_seconds{")]
        assert len(ages) == len(task_ends(at=clock.now()))
        assert str(uncovered.pk) not in "".join(lines)

    def test_say_how_far_each_stream_of_the_log_is_behind(self, quiet, capsys):
        Stream.objects.create(destination="siem", address="siem:6514", directed_at=clock.now())

        with quiet.stage.acting_as("purge"):
            call_command("metrics")

        lines = capsys.readouterr().out.splitlines()
        assert 'tallenne_stream_lag_seconds{destination="siem"} 0' in lines
        assert 'tallenne_stream_behind{destination="siem"} 0' in lines

    def test_are_served_at_an_address_of_their_own(self, uncovered):
        with HTTPServer(("127.0.0.1", 0), Exposition) as server:
            thread = Thread(target=server.serve_forever)
            thread.start()
            try:
                answers = [_asked(server.server_port, path) for path in ("/metrics", "/other")]
            finally:
                server.shutdown()
                thread.join()

        (status, text), (missing, _) = answers
        assert (status, missing) == (200, 404)
        assert 'tallenne_attention{kind="uncovered",stuck="0"} 1' in text

    def test_are_not_on_the_public_pages(self, quiet, visitor):
        assert visitor.get("/metrics").status == 404


def _asked(port: int, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_reconcile_says_it_in_words_and_by_its_exit_code(
    stage, uncovered, capsys, monkeypatch: pytest.MonkeyPatch
):
    from retention.management.commands import reconcile

    monkeypatch.setattr(reconcile, "_if_allowed", lambda make: None)
    with stage.acting_as("purge"), pytest.raises(SystemExit) as ended:
        call_command("reconcile")

    assert ended.value.code == 1
    assert "Conversations without a rule: 1. Make or change a rule" in capsys.readouterr().out
