"""Pages of matters, holds and purge runs, as the web's role answers them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.urls import reverse

from audit import clock
from recordings.models import Conversation
from retention.models import Criterion, Destruction, Hold, Lifting, Matter, PurgeRun
from retention.operations.criteria import Draft, set_criterion
from tests.retention.centre import counted
from tests.retention.lifted import second_officer

NOBODY = uuid4()
REASON = {"reason": "The dispute is settled."}


@pytest.fixture
def oona(centre, at_browser):
    """The browser of another compliance officer of Vakka."""
    return at_browser(second_officer(centre))


def days_on(days: int) -> str:
    """The date so many days from now."""
    return f"{clock.now() + timedelta(days=days):%Y-%m-%d}"


def settle(browser) -> int:
    """Agree to the newest proposal, if the browser's person may; gives the answer's status."""
    lifting = Lifting.objects.latest("proposed_at")
    path = reverse("retention:lifting_agree", args=[lifting.pk])
    assert browser.get(path).status == 200
    return browser.post(path).status


class TestMatterPages:
    def test_a_matter_is_opened_handled_held_lifted_and_closed(self, centre, olga, oona):
        conversation = centre.call()
        opened = olga.post(
            reverse("retention:matter_new"),
            {
                "controller": centre.vakka.pk,
                "code": "dispute-7",
                "name": "Dispute 7",
                "reason": "The customer disputes the terms.",
                "review_date": days_on(90),
            },
        )
        matter = Matter.objects.get(code="dispute-7")
        page = reverse("retention:matter", args=[matter.pk])

        named = olga.post(
            reverse("retention:matter_handler_new", args=[matter.pk]),
            {"handler": centre.casper.pk},
        )
        held = olga.post(
            reverse("retention:hold_place", args=[matter.pk]),
            {"conversations": f"{conversation.pk}\n"},
        )

        conversation.refresh_from_db()
        hold = Hold.objects.get()
        assert (opened.status, named.status, held.status) == (302, 302, 302)
        assert conversation.hold_count == 1
        assert "1 conversation is held." in olga.get(page).text
        assert "Casper Case" in olga.get(page).text

        lifting, closing = (
            reverse("retention:hold_lift", args=[hold.pk]),
            reverse("retention:matter_close", args=[matter.pk]),
        )
        assert olga.get(lifting).status == olga.get(closing).status == 200
        assert olga.post(lifting, {"reason": ""}).status == 422
        assert olga.post(lifting, REASON).status == 302
        assert "To lift 1 hold." in oona.get(page).text
        alone, second = settle(olga), settle(oona)
        conversation.refresh_from_db()
        assert (alone, second, conversation.hold_count) == (302, 302, 0)

        assert olga.post(closing, REASON).status == 302
        assert settle(oona) == 302

        matter.refresh_from_db()
        assert matter.closed_at is not None
        assert olga.get(page).status == 200

    def test_what_matches_is_shown_before_it_is_held(self, centre, olga):
        call, matter = centre.call(), centre.matter_of()
        path = reverse("retention:criterion_new", args=[matter.pk])
        said = {
            "kinds": ["call"],
            "from_date": days_on(-30),
            "last_date": days_on(1),
            "identifier_kind": "tel",
            "identifier": "tel:+358900001001",
        }

        nothing = olga.post(path, {"identifier_kind": "tel"})
        preview = olga.post(path, said)
        (hidden,) = re.findall(r'name="customer_hash" value="([0-9a-f]{64})"', preview.text)
        assert "1 conversation matches now." in preview.text
        assert "+358900001001" not in preview.text
        assert not Criterion.objects.exists()
        done = olga.post(
            path, {**said, "identifier": "", "customer_hash": hidden, "confirmed": "yes"}
        )

        made = Criterion.objects.get()
        assert (nothing.status, done.status) == (422, 302)
        assert (made.kinds, made.total_count) == (["call"], 1)
        subject = call.parties.get(role="customer").data_subject
        assert subject is not None
        assert bytes(made.customer_hash or b"") == bytes(subject.identifier_hash)
        page = olga.get(reverse("retention:matter", args=[matter.pk]))
        progress = olga.get(
            reverse("retention:matter_progress", args=[matter.pk]),
            headers={"HX-Request": "true"},
        )
        assert "Holds are being placed" in page.text
        assert "0 of 1 (0 %)" in progress.text
        assert "<html" not in progress.text

    def test_a_criterion_is_dropped_and_a_proposal_taken_back(self, centre, olga):
        matter = centre.matter_of()
        made = set_criterion(
            matter=matter, draft=Draft(kinds=("call",)), set_by=centre.olga, now=clock.now()
        )
        path = reverse("retention:criterion_drop", args=[made.pk])

        assert olga.post(path, REASON).status == 302
        assert "It stays until" in olga.get(path).text
        assert "waits for a second person" in olga.get(reverse("retention:matters")).text
        lifting = Lifting.objects.get()
        taken = olga.post(reverse("retention:lifting_take_back", args=[lifting.pk]))

        lifting.refresh_from_db()
        assert taken.status == 302
        assert lifting.taken_back_at is not None

    def test_a_matter_whose_time_has_come_is_red_until_it_is_looked_at(self, centre, olga):
        matter = centre.matter_of()
        Matter.objects.update(review_at=clock.now())
        path = reverse("retention:matter_review", args=[matter.pk])
        listed = reverse("retention:matters")
        assert "1 matter is to be looked at again" in olga.get(listed).text

        too_far = olga.post(path, {"next_date": days_on(400), "reason": "On appeal."})
        done = olga.post(path, {"next_date": days_on(90), "reason": "On appeal."})

        assert (too_far.status, done.status) == (422, 302)
        assert "to be looked at again" not in olga.get(listed).text
        assert "On appeal." in olga.get(reverse("retention:matter", args=[matter.pk])).text
        assert counted("matter.reviewed") == 1

    def test_a_hold_is_placed_from_the_page_of_one_conversation(self, centre, olga):
        conversation = centre.call()
        matter = centre.matter_of()
        path = reverse("retention:hold_place_on", args=[conversation.pk])

        assert matter.name in olga.get(path).text
        done = olga.post(path, {"matter": matter.pk})

        assert done.status == 302
        assert Hold.objects.get().conversation_id == conversation.pk

    def test_what_cannot_be_held_stands_beside_the_field(self, centre, olga):
        matter = centre.matter_of()
        path = reverse("retention:hold_place", args=[matter.pk])

        nonsense = olga.post(path, {"conversations": "nonsense"})
        stranger = olga.post(path, {"conversations": str(NOBODY)})

        assert (nonsense.status, stranger.status) == (422, 422)
        assert "One of the lines is no id of a conversation." in nonsense.text
        assert "not known at that company" in stranger.text
        assert not Hold.objects.exists()

    def test_the_code_of_a_matter_is_taken_once(self, centre, olga):
        matter = centre.matter_of()

        answer = olga.post(
            reverse("retention:matter_new"),
            {
                "controller": centre.vakka.pk,
                "code": matter.code,
                "name": "Again",
                "reason": "Again.",
                "review_date": days_on(90),
            },
        )

        assert answer.status == 422
        assert "a matter of that code already" in answer.text

    def test_only_case_handlers_can_be_named(self, centre, olga):
        matter = centre.matter_of()

        answer = olga.post(
            reverse("retention:matter_handler_new", args=[matter.pk]),
            {"handler": centre.alice.pk},
        )

        assert answer.status == 422
        assert matter.handlers.count() == 1


def make_run(conversation: Conversation, **says: Any) -> PurgeRun:
    """A run that is at the conversation."""
    now = clock.now()
    run = PurgeRun.objects.create(
        actor="system:purge",
        started_at=now - timedelta(seconds=10),
        heartbeat_at=now,
        due_count=1,
        held_count=7,
    )
    Destruction.objects.create(
        run=run,
        conversation=conversation,
        controller=conversation.controller,
        kind=conversation.kind,
        ended_at=conversation.ended_at,
        destroy_after=conversation.destroy_after or now,
        withdrawn_at=now,
        **says,
    )
    return run


class TestPurgeRunPages:
    def test_a_running_one_asks_for_its_progress_every_two_seconds(self, centre, olga):
        run = make_run(centre.call())
        progress = reverse("retention:purge_run_progress", args=[run.pk])

        page = olga.get(reverse("retention:purge_run", args=[run.pk]))
        piece = olga.get(progress, headers={"HX-Request": "true"})

        assert f'hx-get="{progress}"' in page.text
        assert "Awaiting seal" in page.text
        assert "0 of 1 verified gone (0 %)" in piece.text
        assert "<html" not in piece.text
        assert 'hx-trigger="every 2s"' in piece.text

    def test_a_finished_one_stops_asking(self, centre, olga):
        run = make_run(centre.call())
        PurgeRun.objects.update(state="finished", finished_at=clock.now())

        piece = olga.get(
            reverse("retention:purge_run_progress", args=[run.pk]),
            headers={"HX-Request": "true"},
        )

        assert "hx-get" not in piece.text
        assert "The run has finished." in piece.text

    def test_shows_what_needs_a_person_and_why(self, centre, olga):
        conversation = centre.call()
        run = make_run(
            conversation,
            needs_person_at=clock.now(),
            problem="The store still has a version.",
        )

        page = olga.get(reverse("retention:purge_run", args=[run.pk]))

        assert "The store still has a version." in page.text
        assert str(conversation.pk) in page.text

    def test_shows_another_company_neither_its_conversations_nor_its_numbers(self, centre, olli):
        conversation = centre.call()
        run = make_run(conversation)

        page = olli.get(reverse("retention:purge_run", args=[run.pk]))
        listed = olli.get(reverse("retention:purge_runs"))

        assert (page.status, listed.status) == (200, 200)
        assert str(conversation.pk) not in page.text
        assert "Left alone: held" not in page.text
        assert ">7<" not in listed.text
