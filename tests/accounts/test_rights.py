"""What people may do: roles and teams between two times, for one company or for all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from accounts.backends import RoleBackend
from accounts.models import RoleAssignment, TeamPermission, User
from accounts.operations import assign_role, grant_team, revoke_team
from accounts.queries import (
    actor_for,
    controllers_for,
    names_by_reference,
    purposes_for,
    team_permissions_of,
)
from accounts.roles import ROLES_BY_PERMISSION, ROLES_BY_PURPOSE, Role
from audit import clock
from audit.models import AuditDetail, Event
from tests import factories
from tests.factories import ACTOR, Centre
from tests.harness.faults import log_refused

HOUR = timedelta(hours=1)
INSTANT = timedelta(microseconds=1)


def holds(user: User, permission: str, obj: object, *, at: datetime) -> bool:
    """Ask as a request does that came at that time."""
    fresh = User.objects.get(pk=user.pk)
    fresh.asks_at = at
    return fresh.has_perm(permission, obj)


class TestHasPerm:
    def test_of_a_role_for_one_company_and_for_all(self, centre: Centre):
        ossi = factories.person("Ossi Officer")
        factories.give_role(ossi, Role.COMPLIANCE_OFFICER, centre.vakka)
        now = clock.now()

        for permission in ("audit.read", "audit.export", "retention.hold"):
            answers = {
                name: [
                    holds(user, permission, obj, at=now)
                    for obj in (centre.vakka, centre.vakka.pk, centre.onni.pk, None)
                ]
                for name, user in (("one", ossi), ("all", centre.olga), ("none", centre.alice))
            }

            assert answers == {
                "one": [True, True, False, False],
                "all": [True, True, True, True],
                "none": [False, False, False, False],
            }, permission

    def test_of_what_is_no_company_is_no(self, centre: Centre):
        for obj in ("", "installation", str(centre.vakka.pk), 0, centre.claims, object()):
            assert not holds(centre.olga, "audit.read", obj, at=clock.now())

    def test_a_superuser_holds_none_of_ours_and_all_of_djangos(self, centre: Centre):
        for permission in ROLES_BY_PERMISSION:
            for obj in (None, centre.vakka.pk):
                assert not holds(centre.sulo, permission, obj, at=clock.now())
        assert centre.sulo.has_perm("accounts.view_user")

    def test_holds_from_its_beginning_until_just_before_its_end(self, centre: Centre):
        now = clock.now()
        RoleAssignment.objects.filter(user=centre.olga).update(
            from_at=now - HOUR, until_at=now + HOUR
        )

        for at, expected in (
            (now - HOUR - INSTANT, False),
            (now - HOUR, True),
            (now + HOUR - INSTANT, True),
            (now + HOUR, False),
        ):
            assert holds(centre.olga, "audit.read", None, at=at) == expected

    def test_of_a_closed_account_is_no(self, centre: Centre):
        User.objects.filter(pk=centre.olga.pk).update(is_active=False)

        assert not holds(centre.olga, "audit.read", None, at=clock.now())
        assert not RoleBackend().has_perm(User.objects.get(pk=centre.olga.pk), "audit.read")

    def test_of_what_nobody_has_heard_of_is_no(self, centre: Centre):
        assert not holds(centre.olga, "audit.everything", None, at=clock.now())
        assert not RoleBackend().has_perm(object(), "audit.read")

    def test_without_a_request_asks_the_clock(self, centre: Centre):
        assert User.objects.get(pk=centre.olga.pk).has_perm("audit.read")

    def test_nobody_who_listens_also_administers_the_log(self):
        listeners = frozenset().union(*ROLES_BY_PURPOSE.values())

        for permission, roles in ROLES_BY_PERMISSION.items():
            assert not roles & listeners, permission


class TestAssignRole:
    def test_holds_from_now_and_is_an_event_in_the_companys_log(self, centre: Centre):
        now = clock.now()

        assign_role(
            user=centre.dora,
            role=Role.COMPLIANCE_OFFICER,
            controller=centre.onni,
            until_at=now + HOUR,
            actor=ACTOR,
            now=now,
        )

        assert holds(centre.dora, "audit.read", centre.onni.pk, at=now)
        assert not holds(centre.dora, "audit.read", centre.vakka.pk, at=now)
        assert not holds(centre.dora, "audit.read", centre.onni.pk, at=now + HOUR)
        event = Event.objects.filter(event_type="role.assigned").latest("id")
        assert (event.log, event.target) == (str(centre.onni.pk), str(centre.dora.reference))
        assert '"role":"compliance_officer"' in event.body

    def test_for_all_companies_is_in_the_installations_log(self, centre: Centre):
        factories.give_role(centre.dora, Role.AUDITOR, None)

        assert Event.objects.filter(event_type="role.assigned").latest("id").log == "installation"

    def test_that_ends_before_it_begins_is_none(self, centre: Centre):
        now = clock.now()

        with pytest.raises(IntegrityError):
            assign_role(
                user=centre.dora,
                role=Role.AUDITOR,
                controller=None,
                until_at=now,
                actor=ACTOR,
                now=now,
            )

    def test_that_cannot_be_logged_is_not_given(self, centre: Centre):
        with log_refused(centre.stage), pytest.raises(DatabaseError):
            factories.give_role(centre.dora, Role.AUDITOR, None)

        assert not centre.dora.role_assignments.filter(role="auditor").exists()

    def test_is_not_in_the_power_of_the_web(self, centre: Centre):
        with centre.stage.acting_as("web"):
            for deed in (
                lambda: factories.give_role(centre.alice, Role.COMPLIANCE_OFFICER, None),
                lambda: factories.give_team(centre.alice, centre.sales, centre.coaching),
                lambda: TeamPermission.objects.update(until_at=clock.now() + HOUR),
                lambda: User.objects.filter(pk=centre.alice.pk).update(is_superuser=True),
            ):
                with pytest.raises(DatabaseError), transaction.atomic():
                    deed()


class TestTeamPermission:
    def test_is_granted_for_one_purpose_with_a_reason_and_an_end(self, centre: Centre):
        now = clock.now()

        grant_team(
            user=centre.alice,
            team=centre.sales,
            purpose=centre.coaching,
            until_at=now + HOUR,
            reason="Dora Dahl is on leave.",
            actor=ACTOR,
            now=now,
        )

        def teams(purpose, at: datetime) -> list[str]:
            rows = team_permissions_of(user=centre.alice, purpose=purpose, at=at)
            return [row.content_object.name for row in rows]

        assert teams(centre.coaching, now) == ["Claims", "Sales"]
        assert teams(centre.coaching, now + HOUR) == ["Claims"]
        assert teams(centre.matter, now) == []
        event = Event.objects.filter(event_type="team_permission.granted").latest("id")
        assert (event.log, event.purpose) == (str(centre.vakka.pk), "coaching")
        assert "leave" not in event.body
        assert "leave" in AuditDetail.objects.get(event_id=event.event_id).text

    def test_is_revoked_at_once_and_a_second_time_changes_nothing(self, centre: Centre):
        permission = TeamPermission.objects.get(user=centre.alice)
        now = clock.now()

        for later in (timedelta(), HOUR):
            revoke_team(permission=permission, actor=ACTOR, now=now + later)

        permission.refresh_from_db()
        assert permission.until_at == now
        assert Event.objects.filter(event_type="team_permission.revoked").count() == 1

    def test_that_cannot_be_logged_is_neither_granted_nor_revoked(self, centre: Centre):
        permission = TeamPermission.objects.get(user=centre.alice)

        with log_refused(centre.stage):
            with pytest.raises(DatabaseError):
                factories.give_team(centre.alice, centre.sales, centre.coaching)
            with pytest.raises(DatabaseError):
                revoke_team(permission=permission, actor=ACTOR, now=clock.now())

        assert TeamPermission.objects.filter(user=centre.alice).get() == permission
        permission.refresh_from_db()
        assert permission.until_at > clock.now()


class TestQueries:
    def test_of_companies_a_person_acts_for(self, centre: Centre):
        def names(user: User, permission: str) -> list[str]:
            fresh = User.objects.get(pk=user.pk)
            found = controllers_for(user=fresh, permission=permission, at=clock.now())
            return [controller.name for controller in found]

        assert names(centre.olga, "retention.hold") == ["Onni", "Vakka"]
        assert names(centre.aune, "audit.read") == ["Onni", "Vakka"]
        assert names(centre.aune, "retention.hold") == []
        assert names(centre.sulo, "audit.read") == []

    def test_of_purposes_that_a_persons_roles_serve(self, centre: Centre):
        served = {
            name: [
                purpose.code for purpose in purposes_for(user=centre.person(name), at=clock.now())
            ]
            for name in ("alice", "bob", "casper", "olga", "sulo")
        }

        assert served == {
            "alice": ["coaching"],
            "bob": ["coaching"],
            "casper": ["matter"],
            "olga": [],
            "sulo": [],
        }

    def test_of_names_behind_references(self, centre: Centre):
        found = names_by_reference(
            [
                *(str(centre.alice.reference), str(centre.vakka.pk), str(centre.claims.pk)),
                *("system:purge", "", str(centre.alice.pk)),
            ]
        )

        assert set(found.values()) == {"Alice Aalto", "Vakka", "Claims"}

    def test_an_actor_is_a_reference_and_roles_never_a_name(self, centre: Centre):
        factories.give_role(centre.alice, Role.LEAD, centre.vakka)

        actor = actor_for(user=User.objects.get(pk=centre.alice.pk), at=clock.now())

        assert (actor.kind, actor.reference) == ("user", str(centre.alice.reference))
        assert actor.role == "coach.lead"


class TestMyAccess:
    def test_says_what_is_hers_until_when_and_what_has_ended(
        self, centre: Centre, signed_in: Callable
    ):
        factories.give_team(centre.alice, centre.sales, centre.coaching)
        now = clock.now()
        TeamPermission.objects.filter(user=centre.alice, content_object=centre.sales).update(
            from_at=now - 2 * HOUR, until_at=now - HOUR
        )

        answer = signed_in(centre.alice).get("/me/access/")

        assert answer.status == 200
        assert answer.text.index("Claims") < answer.text.index("Sales")

    def test_is_there_for_who_has_no_rights_at_all(self, centre: Centre, signed_in: Callable):
        assert signed_in(centre.sulo).get("/me/access/").status == 200
