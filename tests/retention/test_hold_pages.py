"""Pages of matters, holds and purge runs, as the web's role answers them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.urls import reverse

from audit import clock
from recordings.models import Conversation
from retention.models import Destruction, Hold, Matter, PurgeRun

NOBODY = uuid4()


class TestMatterPages:
    def test_a_matter_is_opened_handled_held_lifted_and_closed(self, centre, olga):
        conversation = centre.call()
        opened = olga.post(
            reverse("retention:matter_new"),
            {
                "controller": centre.vakka.pk,
                "code": "dispute-7",
                "name": "Dispute 7",
                "reason": "The customer disputes the terms.",
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

        assert olga.get(reverse("retention:hold_lift", args=[hold.pk])).status == 200
        lifted = olga.post(reverse("retention:hold_lift", args=[hold.pk]))
        closed = olga.post(reverse("retention:matter_close", args=[matter.pk]))

        matter.refresh_from_db()
        conversation.refresh_from_db()
        assert (lifted.status, closed.status) == (302, 302)
        assert conversation.hold_count == 0
        assert matter.closed_at is not None

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
