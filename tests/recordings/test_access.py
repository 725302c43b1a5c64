"""The one access rule: what opens a conversation, what closes it, and that all ways in agree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.db import transaction
from django.urls import reverse
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from accounts.models import (
    Controller,
    Purpose,
    RoleAssignment,
    TeamPermission,
    Undertaking,
    UndertakingText,
    User,
)
from accounts.roles import ROLES_BY_PURPOSE, Role
from audit import clock
from audit.models import Event
from recordings.models import Conversation, PermittedUse
from recordings.queries import Filters, count_open, find_page
from tests.factories import LONG_AGO, Centre, sound_of
from tests.harness.visitors import Visitor

INSTANT = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
# When something holds, seen from the time that is asked about: half-open, from ≤ at < until.
TIMES: dict[str, tuple[timedelta, timedelta]] = {
    "now": (-HOUR, HOUR),
    "begins at exactly that time": (timedelta(), HOUR),
    "ends just after": (-HOUR, INSTANT),
    "ended at exactly that time": (-HOUR, timedelta()),
    "ended before": (-2 * HOUR, -HOUR),
    "begins just after": (INSTANT, HOUR),
}
HOLDING = {"now", "begins at exactly that time", "ends just after"}
When = str


@dataclass(frozen=True, slots=True)
class World:
    """
    Everything that decides whether Alice may have one call of Claims at Vakka for one purpose.

    As it stands, everything is there that coaching needs.
    """

    purpose: Literal["coaching", "matter"] = "coaching"
    role: Role | None = Role.COACH
    role_for: Literal["vakka", "onni", "all"] = "vakka"
    role_when: When = "now"
    undertaking: Literal["current", "old version", "none"] = "current"
    undertaking_when: When = "now"
    team: Literal["claims", "sales"] | None = "claims"
    team_purpose: Literal["coaching", "matter"] = "coaching"
    team_when: When = "now"
    use_purpose: Literal["coaching", "matter"] | None = "coaching"
    use_for: Literal["everybody", "alice", "bob"] = "everybody"
    use_when: When = "now"
    state: Literal["kept", "withdrawn", "destroyed"] = "kept"
    is_restricted: bool = False
    is_closed: bool = False
    is_about_her: bool = False
    is_active: bool = True
    is_superuser: bool = False

    @property
    def is_open(self) -> bool:
        """The rule once more, said plainly; being superuser is not in it."""
        her_role = (
            self.role in ROLES_BY_PURPOSE[self.purpose]
            and self.role_for in ("vakka", "all")
            and self.role_when in HOLDING
        )
        bound = self.undertaking == "current" and self.undertaking_when in HOLDING
        used = self.use_purpose == self.purpose and self.use_when in HOLDING
        hers = (
            self.team == "claims"
            and self.team_purpose == self.purpose
            and self.team_when in HOLDING
            and self.use_for == "everybody"
        )
        barred = self.is_restricted or self.is_closed or self.is_about_her
        return (
            self.state == "kept"
            and not barred
            and self.is_active
            and her_role
            and bound
            and used
            and (hers or self.use_for == "alice")
        )


def arrange(world: World, centre: Centre, call: Conversation, *, at: datetime) -> None:
    """Make the rows say what the world says, at that time."""

    def times(when: When) -> dict[str, datetime]:
        begins, ends = TIMES[when]
        return {"from_at": at + begins, "until_at": at + ends}

    alice = centre.alice
    for model in (RoleAssignment, TeamPermission, Undertaking):
        model._default_manager.filter(user=alice).delete()
    call.permitted_uses.all().delete()
    purposes: dict[str, Purpose] = {"coaching": centre.coaching, "matter": centre.matter}
    companies: dict[str, Controller | None] = {
        "vakka": centre.vakka,
        "onni": centre.onni,
        "all": None,
    }
    if world.role is not None:
        RoleAssignment.objects.create(
            user=alice,
            role=world.role,
            controller=companies[world.role_for],
            **times(world.role_when),
        )
    if world.undertaking != "none":
        Undertaking.objects.create(
            user=alice,
            text_id=2 if world.undertaking == "current" else 1,
            **times(world.undertaking_when),
        )
    if world.team is not None:
        TeamPermission.objects.create(
            user=alice,
            content_object=centre.claims if world.team == "claims" else centre.sales,
            permission=Permission.objects.get(codename="hear_team"),
            purpose=purposes[world.team_purpose],
            reason="She coaches the team.",
            **times(world.team_when),
        )
    if world.use_purpose is not None:
        PermittedUse.objects.create(
            conversation=call,
            purpose=purposes[world.use_purpose],
            authority_kind=PermittedUse.AuthorityKind.RULE,
            authority=uuid4(),
            only_for={"everybody": None, "alice": alice, "bob": centre.bob}[world.use_for],
            **times(world.use_when),
        )
    call.parties.filter(role="customer").update(user=alice if world.is_about_her else None)
    User.objects.filter(pk=alice.pk).update(
        is_active=world.is_active, is_superuser=world.is_superuser
    )
    Conversation.objects.filter(pk=call.pk).update(
        restricted_at=at if world.is_restricted else None,
        closed_at=at if world.is_closed else None,
        state=world.state if world.state == "kept" else "withdrawn",
        withdrawn_at=None if world.state == "kept" else at,
    )
    if world.state == "destroyed":
        Conversation.objects.filter(pk=call.pk).update(
            state="destroyed", destroyed_at=at, key_destroyed_at=at, wrapped_key=None
        )


@contextmanager
def undone() -> Iterator[None]:
    """Take back what was written, for the next case in the same database."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def call(centre: Centre) -> Conversation:
    """A call of Claims at Vakka; the undertaking has a second version since long ago."""
    UndertakingText.objects.create(
        version=2, text_fi="2", text_sv="2", text_en="2", in_force_from=LONG_AGO
    )
    UndertakingText.objects.create(
        version=3,
        text_fi="3",
        text_sv="3",
        text_en="3",
        in_force_from=clock.now() + timedelta(days=30),
    )
    return centre.call()


def opens(world: World, centre: Centre, call: Conversation) -> bool:
    """Ask the rule."""
    purpose = centre.coaching if world.purpose == "coaching" else centre.matter
    alice = User.objects.get(pk=centre.alice.pk)
    at = clock.now()
    with undone():
        arrange(world, centre, call, at=at)
        return Conversation.objects.open_to(user=alice, purpose=purpose, at=at).exists()


COACH = World()
HANDLER = World(
    purpose="matter",
    role=Role.CASE_HANDLER,
    team=None,
    use_purpose="matter",
    use_for="alice",
)
OPEN = {
    "a coach, with all she needs": COACH,
    "a team lead": replace(COACH, role=Role.LEAD),
    "a coach for all companies": replace(COACH, role_for="all"),
    "a case handler, by a use for her alone": HANDLER,
    "a superuser who is a coach besides": replace(COACH, is_superuser=True),
    **{f"her role {when}": replace(COACH, role_when=when) for when in HOLDING},
    **{f"her undertaking {when}": replace(COACH, undertaking_when=when) for when in HOLDING},
    **{f"her team permission {when}": replace(COACH, team_when=when) for when in HOLDING},
    **{f"the permitted use {when}": replace(COACH, use_when=when) for when in HOLDING},
}
PAST = [when for when in TIMES if when not in HOLDING]
CLOSED = {
    "no role": replace(COACH, role=None),
    "a role for another company": replace(COACH, role_for="onni"),
    **{f"the role {role.value}": replace(COACH, role=role) for role in Role}
    | {f"her role {when}": replace(COACH, role_when=when) for when in PAST},
    "no undertaking": replace(COACH, undertaking="none"),
    "an undertaking of the version before": replace(COACH, undertaking="old version"),
    **{f"her undertaking {when}": replace(COACH, undertaking_when=when) for when in PAST},
    "no team permission": replace(COACH, team=None),
    "a permission on another team": replace(COACH, team="sales"),
    "a team permission for another purpose": replace(COACH, team_purpose="matter"),
    **{f"her team permission {when}": replace(COACH, team_when=when) for when in PAST},
    "no permitted use": replace(COACH, use_purpose=None),
    "a permitted use for another purpose": replace(COACH, use_purpose="matter"),
    "a use for somebody else alone": replace(COACH, use_for="bob"),
    **{f"the permitted use {when}": replace(COACH, use_when=when) for when in PAST},
    "it is restricted": replace(COACH, is_restricted=True),
    "it is closed until decided": replace(COACH, is_closed=True),
    "it is withdrawn": replace(COACH, state="withdrawn"),
    "it is destroyed": replace(COACH, state="destroyed"),
    "she is the customer": replace(COACH, is_about_her=True),
    "her account is closed": replace(COACH, is_active=False),
    "she asks for another purpose": replace(COACH, purpose="matter"),
    "a superuser without a role": replace(COACH, role=None, is_superuser=True),
    "a superuser without a team": replace(COACH, team=None, is_superuser=True),
    "a superuser without an undertaking": replace(COACH, undertaking="none", is_superuser=True),
    "a matter that somebody else handles": replace(HANDLER, use_for="bob"),
    "a matter of another company's handler": replace(HANDLER, role_for="onni"),
    "a matter, and she is a coach only": replace(HANDLER, role=Role.COACH),
    "a matter, and she is the customer": replace(HANDLER, is_about_her=True),
    "a matter, and it is restricted": replace(HANDLER, is_restricted=True),
    "a matter's use, asked for coaching": replace(HANDLER, purpose="coaching"),
    **{f"a matter's use {when}": replace(HANDLER, use_when=when) for when in PAST},
}
for serving in ("coach", "lead"):
    del CLOSED[f"the role {serving}"]

WORLDS = st.builds(
    World,
    purpose=st.sampled_from(["coaching", "coaching", "matter"]),
    role=st.sampled_from([Role.COACH, Role.COACH, Role.CASE_HANDLER, *Role, None]),
    role_for=st.sampled_from(["vakka", "vakka", "all", "onni"]),
    role_when=st.sampled_from(["now"] * 6 + list(TIMES)),
    undertaking=st.sampled_from(["current"] * 6 + ["old version", "none"]),
    undertaking_when=st.sampled_from(["now"] * 6 + list(TIMES)),
    team=st.sampled_from(["claims", "claims", "sales", None]),
    team_purpose=st.sampled_from(["coaching", "coaching", "matter"]),
    team_when=st.sampled_from(["now"] * 6 + list(TIMES)),
    use_purpose=st.sampled_from(["coaching", "coaching", "matter", None]),
    use_for=st.sampled_from(["everybody", "everybody", "alice", "bob"]),
    use_when=st.sampled_from(["now"] * 6 + list(TIMES)),
    state=st.sampled_from(["kept"] * 8 + ["withdrawn", "destroyed"]),
    is_restricted=st.sampled_from([False] * 8 + [True]),
    is_closed=st.sampled_from([False] * 8 + [True]),
    is_about_her=st.sampled_from([False] * 8 + [True]),
    is_active=st.sampled_from([True] * 8 + [False]),
    is_superuser=st.booleans(),
)
PATIENT = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    database=None,
)


class TestOpenTo:
    def test_opens_with_everything_there(self, centre: Centre, call: Conversation, subtests):
        for name, world in OPEN.items():
            with subtests.test(name):
                assert world.is_open
                assert opens(world, centre, call)

    def test_each_condition_missing_alone_closes(
        self, centre: Centre, call: Conversation, subtests
    ):
        assert opens(COACH, centre, call)
        for name, world in CLOSED.items():
            with subtests.test(name):
                assert not world.is_open
                assert not opens(world, centre, call)

    def test_is_the_plain_rule_for_any_combination(self, centre: Centre, call: Conversation):
        @settings(PATIENT, max_examples=120)
        @given(WORLDS)
        def agrees(world: World) -> None:
            assert opens(world, centre, call) == world.is_open

        agrees()

    def test_two_halves_of_a_right_make_no_whole(self, centre: Centre, call: Conversation):
        at = clock.now()
        arrange(replace(COACH, use_purpose="matter"), centre, call, at=at)
        PermittedUse.objects.create(
            conversation=call,
            purpose=centre.coaching,
            authority_kind="rule",
            authority=uuid4(),
            only_for=centre.bob,
            from_at=at - HOUR,
            until_at=at + HOUR,
        )

        # Coaching is permitted for Bob alone, everybody's use is for another purpose.
        visible = Conversation.objects.open_to(user=centre.alice, purpose=centre.coaching, at=at)

        assert not visible.exists()

    def test_a_conversation_that_two_teams_served_is_listed_once(
        self, centre: Centre, signed_in: Callable
    ):
        call = centre.call()
        first = call.segments.get()
        call.segments.create(
            from_at=first.until_at, until_at=first.until_at, team=centre.sales, queue=None
        )

        for user in (centre.alice, centre.dora):
            rows = Conversation.objects.open_to(user=user, purpose=centre.coaching, at=clock.now())
            assert list(rows) == [call]


class TestMatter:
    def test_opens_what_it_holds_to_its_handler_alone_and_to_her_without_a_team(
        self, centre: Centre
    ):
        held, other = centre.call(), centre.call()
        centre.matter_of(held)

        def seen(user: User, purpose: Purpose) -> set:
            rows = Conversation.objects.open_to(user=user, purpose=purpose, at=clock.now())
            return set(rows.values_list("pk", flat=True))

        assert seen(centre.casper, centre.matter) == {held.pk}
        assert seen(centre.casper, centre.coaching) == set()
        for somebody in (centre.alice, centre.bob, centre.olga, centre.aune, centre.sulo):
            assert seen(somebody, centre.matter) == set()
        assert seen(centre.alice, centre.coaching) == {held.pk, other.pk}


class TestEveryWayIn:
    """Law 1 and T14: list, count, page, waveform and range give one answer."""

    def test_agrees_for_any_combination(
        self, centre: Centre, call: Conversation, signed_in: Callable
    ):
        alice: Visitor = signed_in(centre.alice)
        sound = sound_of(call)

        @settings(PATIENT, max_examples=8)
        @example(COACH)
        @example(HANDLER)
        @example(replace(COACH, is_restricted=True))
        @given(
            WORLDS.filter(
                # Its moments are gone before a request comes; nothing that is destroyed comes back.
                lambda world: (
                    world.state != "destroyed"
                    and {world.role_when, world.undertaking_when, world.team_when, world.use_when}
                    <= {"now", "ended before"}
                )
            )
        )
        def agrees(world: World) -> None:
            arrange(world, centre, call, at=clock.now())

            answers = ask_every_way(alice, centre, call, sound.pk, world.purpose)

            assert answers == dict.fromkeys(answers, world.is_open), world

        agrees()


def ask_every_way(
    alice: Visitor, centre: Centre, call: Conversation, dialog_id, purpose_code: str
) -> dict[str, bool]:
    """Say by which ways the call can be had."""
    purpose = centre.coaching if purpose_code == "coaching" else centre.matter
    user = User.objects.get(pk=centre.alice.pk)
    at = clock.now()
    page = find_page(user=user, purpose=purpose, at=at, filters=Filters(), cursor=None)
    query = {"purpose": purpose_code}
    listed = alice.get(reverse("recordings:conversations"), query)
    shown = alice.get(reverse("recordings:conversation", args=[call.pk]), query)
    peaks = alice.get(reverse("recordings:waveform", args=[dialog_id]), query)
    heard = alice.listen(dialog_id, purpose=purpose_code, bytes_range="bytes=0-99")
    return {
        "row": [row.pk for row in page.rows] == [call.pk],
        "count": count_open(user=user, purpose=purpose, at=at, filters=Filters()) == 1,
        "list": str(call.pk) in listed.text,
        "page": shown.status == 200,
        "waveform": peaks.status == 200,
        "range": heard.status == 206 and len(heard.body) == 100,
    }


class TestRefusal:
    def test_of_what_is_not_hers_and_of_what_does_not_exist_look_alike_and_differ_in_the_log(
        self, centre: Centre, signed_in: Callable
    ):
        call = centre.call()
        charlie: Visitor = signed_in(centre.charlie)

        unknown = uuid4()

        answers = [
            charlie.get(reverse("recordings:conversation", args=[one]))
            for one in (call.pk, unknown)
        ]

        assert [answer.status for answer in answers] == [404, 404]
        # They differ in the address that was asked for and in the tokens of their forms alone.
        pages = [
            re.sub(r'value="[0-9A-Za-z]{64}"', "", answer.text).replace(str(asked), "")
            for answer, asked in zip(answers, (call.pk, unknown), strict=True)
        ]
        assert pages[0] == pages[1]
        refused = Event.objects.filter(event_type="conversation.refused").order_by("id")
        assert [(one.log, one.conversation) for one in refused] == [
            (str(centre.vakka.pk), call.pk),
            ("installation", None),
        ]
        assert ["not_open" in one.body for one in refused] == [True, False]

    @pytest.mark.parametrize("purpose", ["matter", "training", "everything", "coaching'--"])
    def test_of_a_purpose_that_is_not_hers(self, centre: Centre, signed_in: Callable, purpose: str):
        call = centre.call()
        alice: Visitor = signed_in(centre.alice)

        answer = alice.get(reverse("recordings:conversation", args=[call.pk]), {"purpose": purpose})

        assert answer.status == 404
        assert Event.objects.filter(actor=str(centre.alice.reference), outcome="deny").exists()
