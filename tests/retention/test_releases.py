"""Releasing by two persons: what is only observed, and a run that the brake stopped."""

from __future__ import annotations

from threading import Barrier, Thread
from uuid import UUID

import pytest
from django.db import IntegrityError, connections, transaction
from django.test import override_settings
from django.urls import reverse

from accounts.models import Controller, Source
from accounts.roles import Role
from audit import clock
from audit.models import Event
from recordings.models import Conversation
from retention.models import Proposal, PurgeRun
from retention.operations.proposals import SamePerson, approve
from retention.operations.proposing import ProposalOpen
from retention.operations.purge.run import PurgeStopped, Tally, purge
from retention.operations.releases import (
    NothingToRelease,
    propose_rules_release,
    propose_run_release,
    propose_source_release,
)
from retention.permissions import NotEntitled
from tests.harness.roles import Stage
from tests.retention import given
from tests.retention.centre import Centre, counted

BRAKE = override_settings(PURGE_BRAKE_MINIMUM=2, PURGE_BATCH_SIZE=2)


@pytest.fixture
def centre(stage: Stage) -> Centre:
    """A company at work, on the stage of this test."""
    return Centre(stage)


@pytest.fixture
def olga(stage):
    """Compliance officer of all companies."""
    return given.a_user("Olga", Role.COMPLIANCE_OFFICER)


@pytest.fixture
def sanna(stage):
    """The second one."""
    return given.a_user("Sanna", Role.COMPLIANCE_OFFICER)


def agree(proposal: Proposal, sanna) -> None:
    approve(proposal_id=proposal.pk, reason="I have looked.", user=sanna, now=clock.now())


def run_of(tally) -> PurgeRun:
    assert isinstance(tally.run_id, UUID)
    return PurgeRun.objects.get(pk=tally.run_id)


class TestObserved:
    def test_a_source_is_released_by_two(self, centre, olga, sanna):
        centre.capture()
        Source.objects.filter(pk=centre.source.pk).update(released_at=None)
        centre.source.refresh_from_db()
        assert centre.purge().observed == 1

        with centre.stage.acting_as("web"):
            proposal = propose_source_release(
                source=centre.source, reason="Looked at.", user=olga, now=clock.now()
            )
            with pytest.raises(SamePerson):
                approve(proposal_id=proposal.pk, reason="Me.", user=olga, now=clock.now())
        assert centre.purge().observed == 1
        with centre.stage.acting_as("web"):
            agree(proposal, sanna)

        assert centre.purge().destroyed == 1
        assert Event.objects.get(event_type="source.released").log == str(centre.controller.pk)
        centre.source.refresh_from_db()
        with pytest.raises(NothingToRelease):
            propose_source_release(
                source=centre.source, reason="Again.", user=olga, now=clock.now()
            )

    def test_a_companys_first_rules_are_released_by_two(self, centre, olga, sanna):
        centre.capture()
        Controller.objects.filter(pk=centre.controller.pk).update(rules_released_at=None)
        company = Controller.objects.get(pk=centre.controller.pk)

        with centre.stage.acting_as("web"):
            proposal = propose_rules_release(
                controller=company, reason="Looked at.", user=olga, now=clock.now()
            )
            with pytest.raises(ProposalOpen):
                propose_rules_release(
                    controller=company, reason="Twice.", user=sanna, now=clock.now()
                )
            agree(proposal, sanna)

        assert centre.purge().destroyed == 1
        assert counted("rules.released") == 1


class TestTheBrake:
    @BRAKE
    def test_a_released_run_goes_ahead_once_for_the_number_that_was_known(
        self, centre, olga, sanna
    ):
        centre.capture(3)
        stopped = run_of(centre.purge())
        with centre.stage.acting_as("web"):
            proposal = propose_run_release(
                run=stopped, reason="A rule was shortened.", user=olga, now=clock.now()
            )
        assert centre.purge().is_braked
        with centre.stage.acting_as("web"):
            agree(proposal, sanna)
        centre.capture(9)

        released = centre.purge()

        assert (released.is_braked, released.destroyed) == (False, 3)
        assert run_of(released).due_count == 3
        stopped.refresh_from_db()
        assert stopped.state == PurgeRun.State.RELEASED
        assert counted("purge_run.released") == 1
        assert Conversation.objects.kept().count() == 9

    @BRAKE
    def test_of_calls_at_once_one_takes_what_was_released(self, centre, olga, sanna):
        centre.capture(4)
        stopped = run_of(centre.purge())
        agree(propose_run_release(run=stopped, reason="Yes.", user=olga, now=clock.now()), sanna)
        centre.capture(13)
        together = Barrier(2)
        tallies: list[Tally] = []

        def one() -> None:
            together.wait(timeout=20)
            try:
                tallies.append(purge(content=centre.listing, anchor=centre.anchor, clock=clock.now))
            finally:
                connections.close_all()

        with centre.stage.acting_as("purge"):
            threads = [Thread(target=one) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        assert sorted(tally.withdrawn for tally in tallies) == [0, 4]
        assert [tally.is_braked for tally in tallies if not tally.withdrawn] == [True]
        assert Conversation.objects.kept().count() == 13

    @BRAKE
    def test_what_is_left_is_braked_anew_if_it_is_large_still(self, centre, olga, sanna):
        centre.capture(3)
        stopped = run_of(centre.purge())
        agree(propose_run_release(run=stopped, reason="Yes.", user=olga, now=clock.now()), sanna)
        centre.purge()
        centre.capture(10)

        again = centre.purge()

        assert again.is_braked
        assert again.run_id != stopped.pk

    @BRAKE
    def test_a_release_that_was_not_needed_releases_no_later_run(self, centre, olga, sanna):
        due = centre.capture(3)
        stopped = run_of(centre.purge())
        agree(propose_run_release(run=stopped, reason="Yes.", user=olga, now=clock.now()), sanna)
        Conversation.objects.filter(pk=due[0].pk).update(open_requests=1)
        assert centre.purge().destroyed == 2
        centre.capture(9)

        assert centre.purge().is_braked

    @BRAKE
    def test_only_who_is_entitled_everywhere_releases_a_run(self, centre):
        centre.capture(3)
        stopped = run_of(centre.purge())
        local = given.a_user("Lotta", Role.COMPLIANCE_OFFICER, controller=centre.controller)

        with pytest.raises(NotEntitled):
            propose_run_release(run=stopped, reason="Mine.", user=local, now=clock.now())

    @BRAKE
    def test_a_run_that_nobody_stopped_is_not_released(self, centre, olga):
        centre.capture(1)
        ran = run_of(centre.purge())

        with pytest.raises(NothingToRelease):
            propose_run_release(run=ran, reason="Yes.", user=olga, now=clock.now())

    @BRAKE
    def test_a_release_is_used_once_also_by_hand(self, centre, olga, sanna):
        centre.capture(3)
        stopped = run_of(centre.purge())
        proposal = propose_run_release(run=stopped, reason="Yes.", user=olga, now=clock.now())
        agree(proposal, sanna)
        centre.purge()

        with centre.stage.acting_as("purge"), pytest.raises(IntegrityError), transaction.atomic():
            Proposal.objects.filter(pk=proposal.pk).update(used_at=None)

    @BRAKE
    def test_a_run_killed_after_its_release_was_used_goes_on(self, centre, olga, sanna):
        centre.capture(5)
        stopped = run_of(centre.purge())
        agree(propose_run_release(run=stopped, reason="Yes.", user=olga, now=clock.now()), sanna)

        def fail(done: int, total: int, /, word: str = "") -> None:
            raise ZeroDivisionError

        with pytest.raises((ZeroDivisionError, PurgeStopped)):
            centre.purge(progress=fail)
        rest = centre.purge()

        assert not rest.is_braked
        assert Conversation.objects.filter(state="destroyed").count() == 5


class TestPages:
    def test_what_is_observed_stands_on_the_page_and_is_proposed_there(self, stage, at_browser):
        centre = Centre(stage)
        olga = given.a_user("Olga", Role.COMPLIANCE_OFFICER)
        Controller.objects.filter(pk=centre.controller.pk).update(rules_released_at=None)
        Source.objects.filter(pk=centre.source.pk).update(released_at=None)
        centre.capture()
        browser = at_browser(olga)
        release = reverse("retention:source_release", args=[centre.source.pk])

        listed = browser.get(reverse("retention:purge_runs"))
        done = browser.post(release, {"reason": "I have looked at what would go."})

        proposal = Proposal.objects.get()
        page = browser.get(reverse("retention:proposal", args=[proposal.pk]))
        assert release in listed.text
        assert "1 conversation is past its end" in listed.text
        assert done.headers["Location"].endswith(f"{proposal.pk}/")
        assert "You proposed it: a second person decides." in page.text
        refused = browser.post(
            reverse("retention:proposal_approve", args=[proposal.pk]), {"reason": "Me too."}
        )
        assert refused.status == 403
        assert "a second person is needed" in refused.text
        assert counted("approval.refused") == 1

    @BRAKE
    def test_a_stopped_run_is_released_from_its_page(self, stage, at_browser):
        centre = Centre(stage)
        centre.capture(3)
        stopped = run_of(centre.purge())
        olga = at_browser(given.a_user("Olga", Role.COMPLIANCE_OFFICER))
        sanna = at_browser(given.a_user("Sanna", Role.COMPLIANCE_OFFICER))
        page = reverse("retention:purge_run", args=[stopped.pk])
        release = reverse("retention:run_release", args=[stopped.pk])

        assert release in olga.get(page).text
        assert olga.post(release, {"reason": "A rule was shortened."}).status == 302
        proposal = Proposal.objects.get()
        assert release not in olga.get(page).text
        approval = reverse("retention:proposal_approve", args=[proposal.pk])
        assert sanna.post(approval, {"reason": "I agree."}).status == 302

        assert centre.purge().destroyed == 3
        assert "went ahead by it" in sanna.get(page).text
