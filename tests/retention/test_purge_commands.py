"""The commands purge, hold and reconcile, as an operator types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.roles import Role
from audit import clock
from audit.events import Actor
from audit.models import Event
from recordings.models import Conversation
from retention.models import Criterion, Destruction, Matter, PurgeRun
from retention.operations import holds, mirror
from retention.operations.purge import control, steps
from tests.harness.roles import Role as Process
from tests.harness.roles import Stage
from tests.harness.session import ROOT
from tests.retention import given
from tests.retention.centre import Centre


class Desk(Centre):
    """The company, and a shell at which each command runs as its role."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        given.a_purpose("matter")
        self.bea = given.a_user("Bea", Role.COMPLIANCE_OFFICER)
        self.bo = given.a_user("Bo", Role.COMPLIANCE_OFFICER)
        self.hanna = given.a_user("Hanna", Role.CASE_HANDLER)

    def run(self, process: Process, *words: str) -> subprocess.CompletedProcess[str]:
        """Run manage.py with these words."""
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env={**os.environ, **self.stage.environment(process)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def answer(self, process: Process, *words: str) -> tuple[int, dict[str, Any]]:
        """The exit code, and what it printed as JSON."""
        done = self.run(process, *words, "--json")
        return done.returncode, json.loads(done.stdout or "{}")


@pytest.fixture
def desk(stage: Stage) -> Desk:
    """A shell, on the stage of this test."""
    return Desk(stage)


def _set_aside(desk: Desk, conversation: Conversation) -> None:
    """Withdraw it and give it up, as after tries that failed."""
    now = clock.now()
    run = PurgeRun(actor="system:purge", started_at=now, heartbeat_at=now)
    steps.withdraw(
        run=run, conversation_ids=[conversation.pk], token=1, actor=Actor.system("purge"), now=now
    )
    Destruction.objects.update(needs_person_at=now, attempts=3, leased_until=None)


class TestPurgeCommand:
    def test_destroys_and_says_how_many(self, desk):
        desk.capture(2)

        code, said = desk.answer("purge", "purge")

        assert code == 0
        assert (said["destroyed"], said["need_person"]) == (2, 0)
        assert Conversation.objects.filter(state="destroyed").count() == 2

    def test_dry_run_names_what_would_go_and_which_hold_wins_and_changes_nothing(self, desk):
        going, held = desk.capture(2)
        _hold(desk, held)

        code, said = desk.answer("purge", "purge", "--dry-run")

        assert code == 0
        assert said["would_destroy"] == [str(going.pk)]
        assert [each["conversation"] for each in said["kept_by_holds"]] == [str(held.pk)]
        assert not Conversation.objects.exclude(state="kept").exists()

    def test_without_its_keys_says_so_in_a_sentence(self, desk):
        done = desk.run("work", "purge")

        assert done.returncode == 2
        assert "no access" in done.stderr
        assert "Traceback" not in done.stderr

    def test_tries_again_what_was_set_aside_for_a_person(self, desk):
        (stuck,) = desk.capture(1)
        _set_aside(desk, stuck)

        before = desk.answer("purge", "purge")
        code, said = desk.answer("purge", "purge", "--try-again", str(stuck.pk))

        assert before[1]["destroyed"] == 0
        assert (code, said["destroyed"]) == (0, 1)
        assert Event.objects.filter(event_type="destruction.retried").count() == 1

    def test_trying_again_what_was_not_set_aside_is_wrong_use(self, desk):
        (kept,) = desk.capture(1)

        done = desk.run("purge", "purge", "--try-again", str(kept.pk))

        assert done.returncode == 2
        assert "Not set aside" in done.stderr
        assert Conversation.objects.get().state == "kept"

    def test_pauses_all_runs(self, desk):
        code, said = desk.answer("purge", "purge", "--pause")

        assert (code, said) == (0, {"paused": True})
        assert control.is_paused()

    def test_several_workers_share_the_work(self, desk):
        desk.capture(3)

        code, said = desk.answer("purge", "purge", "--workers", "2")

        assert (code, said["destroyed"]) == (0, 3)
        assert Conversation.objects.filter(state="destroyed").count() == 3

    def test_help_shows_an_example(self, desk):
        done = desk.run("purge", "purge", "--help")

        assert done.returncode == 0
        assert "manage.py purge --dry-run" in done.stdout


class TestHoldCommand:
    def test_opens_names_places_and_closes_by_two_persons(self, desk):
        (kept,) = desk.capture(destroy_after=clock.now() + timedelta(days=1))
        officer = ("--as", desk.bea.email)
        opening = ("--company", desk.controller.slug, "--code", "d-17", "--name", "Dispute 17")

        review = ("--review-on", f"{clock.now() + timedelta(days=90):%Y-%m-%d}")
        opened, _ = desk.answer(
            "work", "hold", "open", *opening, "--reason", "Why", *review, *officer
        )
        named, _ = desk.answer("work", "hold", "handler", "d-17", desk.hanna.email, *officer)
        placed, said = desk.answer("work", "hold", "place", "d-17", str(kept.pk), *officer)
        kept.refresh_from_db()
        was_held = kept.hold_count
        closing = ("close", "d-17", "--reason", "Settled", *officer)
        closed, proposal = desk.answer("work", "hold", *closing)
        agreeing = ("work", "hold", "agree", proposal["lifting"], "--as")
        alone = desk.run(*agreeing, desk.bea.email)
        agreed, answer = desk.answer(*agreeing, desk.bo.email)

        kept.refresh_from_db()
        assert (opened, named, placed, closed, alone.returncode, agreed) == (0, 0, 0, 0, 2, 0)
        assert (answer["lifted"], answer["being_lifted"]) == (1, 0)
        assert said["placed"] == [str(kept.pk)]
        assert (was_held, kept.hold_count) == (1, 0)
        assert Matter.objects.get().closed_at is not None

    def test_matches_reviews_and_proposes(self, desk, monkeypatch):
        matter = given.a_matter(desk.controller, opened_by=desk.bea)

        def hold(*words: str) -> dict[str, Any]:
            said = StringIO()
            with desk.stage.acting_as("work"):
                call_command("hold", *words, "--as", desk.bea.email, "--json", stdout=said)
            return dict(json.loads(said.getvalue()))

        def refused(*words: str) -> str:
            with pytest.raises(CommandError) as error:
                hold(*words)
            assert error.value.returncode == 2
            return str(error.value)

        monkeypatch.setattr(sys, "stdin", StringIO("+358900001001\n"))
        period = ("--from", "2026-01-01", "--to", "2026-01-31")
        made = hold("match", matter.code, "--kind", "call", "--customer", "tel", *period)
        criterion = Criterion.objects.get()
        assert (made["criterion"], made["matching"]) == (str(criterion.pk), 0)
        assert criterion.ended_from == datetime(2025, 12, 31, 22, tzinfo=UTC)
        assert criterion.ended_until == datetime(2026, 1, 31, 22, tzinfo=UTC)
        assert "at least one thing" in refused("match", matter.code)
        assert "Nothing is called x" in refused("match", matter.code, "--queue", "x")

        day = f"{clock.now() + timedelta(days=30):%Y-%m-%d}"
        assert hold("review", matter.code, "--next", day, "--reason", "On appeal.")["next"]
        assert "time to come" in refused(
            "review", matter.code, "--next", "2020-01-01", "--reason", "x"
        )

        proposed = hold("drop", str(criterion.pk), "--reason", "Too wide.")["lifting"]
        assert "second person" in refused("agree", proposed)
        assert hold("take-back", proposed) == {"lifting": proposed}
        assert "taken back already" in refused("agree", proposed)
        assert "Nothing of this is held" in refused(
            "lift", matter.code, "--all", "--reason", "Settled."
        )

    def test_says_when_a_hold_came_too_late(self, desk):
        (gone,) = desk.capture()
        desk.purge()
        given.a_matter(desk.controller, opened_by=desk.bea)
        code = Matter.objects.get().code

        exit_code, said = desk.answer(
            "work", "hold", "place", code, str(gone.pk), "--as", desk.bea.email
        )

        assert exit_code == 1
        assert said["too_late"][0]["conversation"] == str(gone.pk)

    @pytest.mark.parametrize("person", ["hanna", "nobody"])
    def test_refuses_who_is_not_entitled(self, desk, person):
        (kept,) = desk.capture()
        matter = given.a_matter(desk.controller)
        email = desk.hanna.email if person == "hanna" else "nobody@example.test"

        done = desk.run("work", "hold", "place", matter.code, str(kept.pk), "--as", email)

        kept.refresh_from_db()
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert kept.hold_count == 0


class TestReconcileCommand:
    def test_exits_with_one_when_something_is_overdue(self, desk):
        (overdue,) = desk.capture(destroy_after=clock.now() - timedelta(days=3))

        code, said = desk.answer("purge", "reconcile")

        assert code == 1
        assert said["overdue"] == [str(overdue.pk)]
        assert said["not_asked"] == ["legal_holds"]


def _hold(desk: Desk, conversation: Conversation) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirror, "request", lambda *, conversation_ids: None)
        holds.place_hold(
            matter=given.a_matter(desk.controller),
            conversation_ids=[conversation.pk],
            placed_by=desk.bea,
            keyring=desk.keyring,
            now=clock.now(),
        )
