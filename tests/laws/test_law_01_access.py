"""Law 1: no right, no content: everybody at every address, as the checked-in table says."""

from __future__ import annotations

import os
from uuid import uuid4

import pytest

from accounts.models import Purpose
from audit import clock
from recordings.models import Conversation
from tests.factories import Centre
from tests.laws import access_matrix
from tests.laws.access_matrix import read_table, routes

# Set, the table is written anew by the test.
WRITE = "WRITE_ACCESS_MATRIX"

CONTENT = {
    "conversations/<uuid:conversation_id>/",
    "conversations/sound/<uuid:dialog_id>",
    "conversations/waveform/<uuid:dialog_id>",
}
# Who may, by state: said here once more by hand, so that no careless table passes.
MAY = {
    "own": {"coach", "lead"},
    "own_chat": {"coach", "lead"},
    "other_team": {"other_team"},
    "other_company": {"outsider"},
    "held": {"case_handler"},
}
GIVEN = ("200", "206")


@pytest.mark.parametrize("part", access_matrix.PARTS)
def test_everybody_gets_at_every_address_what_the_table_says(centre: Centre, part: str):
    now = access_matrix.compute(access_matrix.build(centre), part=part)
    if os.environ.get(WRITE):
        access_matrix.write_table(now, part=part)

    assert access_matrix.differences(now, read_table(part=part)) == []


def test_every_address_has_a_row():
    rows = {(method, address) for method, address, _state in read_table()}

    missing = [
        f"{method} {route.pattern}"
        for route in routes()
        for method in route.methods
        if (method, route.pattern) not in rows
    ]

    assert missing == [], f"decide who may, then run this file with {WRITE}=1 and read the lines"


class TestTable:
    """What must be so whatever the table says."""

    @pytest.mark.parametrize(
        ("key", "cells"), [pair for pair in read_table().items() if pair[0][1] in CONTENT]
    )
    def test_content_goes_to_whom_it_may_and_nobody_else(self, key, cells):
        method, address, state = key
        may = MAY.get(state, set()) if method == "GET" else set()
        if state == "own_chat" and address != "conversations/<uuid:conversation_id>/":
            may = set()  # a chat has no sound

        assert {who for who, answer in cells.items() if answer in GIVEN} == may

    def test_nobody_who_is_not_signed_in_gets_anything(self):
        opened = {
            address
            for (_method, address, _state), cells in read_table().items()
            if cells["nobody"] in GIVEN
        }

        assert {one for one in opened if not one.startswith("account/")} <= {
            "healthz",
            "livez",
            "language/setlang/",
        }

    def test_what_does_not_exist_and_what_is_not_hers_look_alike(self):
        table = read_table()
        for (method, address, state), cells in table.items():
            if address in CONTENT and method == "GET" and state in ("other_team", "unknown"):
                assert cells["coach"] == table[(method, address, "unknown")]["coach"]

    def test_nothing_fails(self):
        assert not [
            (key, who)
            for key, cells in read_table().items()
            for who, answer in cells.items()
            if answer.startswith("5")
        ]


class TestRule:
    """The rule itself, which pages, counts and players ask."""

    def visible(self, centre: Centre, user, purpose: Purpose | None = None) -> set:
        rows = Conversation.objects.open_to(
            user=user, purpose=purpose or centre.coaching, at=clock.now()
        )
        return set(rows.values_list("pk", flat=True))

    def test_opens_nothing_for_an_unknown_purpose(self, centre: Centre):
        centre.call()
        strange = Purpose.objects.create(
            code=f"x{uuid4().hex[:6]}", name_fi="x", name_sv="x", name_en="x"
        )

        assert self.visible(centre, centre.alice, strange) == set()

    def test_closes_what_no_rule_covers(self, centre: Centre):
        call = centre.call()
        assert self.visible(centre, centre.alice) == {call.pk}

        call.permitted_uses.all().delete()

        assert self.visible(centre, centre.alice) == set()

    @pytest.mark.parametrize("field", ["restricted_at", "closed_at"])
    def test_closes_what_is_restricted_or_reported(self, centre: Centre, field: str):
        call = centre.call()

        Conversation.objects.filter(pk=call.pk).update(**{field: clock.now()})

        assert self.visible(centre, centre.alice) == set()

    def test_a_role_at_another_company_does_not_count(self, centre: Centre):
        call = centre.call()
        centre.alice.role_assignments.update(controller=centre.onni)

        assert call.pk not in self.visible(centre, centre.alice)

    def test_nobody_hears_a_conversation_in_which_she_is_the_customer(self, centre: Centre):
        call = centre.call()
        call.parties.filter(role="customer").update(user=centre.alice)

        assert self.visible(centre, centre.alice) == set()
        assert self.visible(centre, centre.bob) == {call.pk}

    def test_list_and_check_agree_for_everybody(self, centre: Centre):
        scene = access_matrix.build(centre)
        for user in filter(None, scene.people.values()):
            for purpose in (centre.coaching, centre.matter):
                listed = self.visible(centre, user, purpose)
                one_by_one = {
                    pk
                    for pk in scene.conversations.values()
                    if Conversation.objects.open_to(user=user, purpose=purpose, at=clock.now())
                    .filter(pk=pk)
                    .exists()
                }
                assert listed == one_by_one
