"""Certificates and residual records are kept for their term, go together, and nothing else goes."""

from __future__ import annotations

from itertools import product

import pytest
from django.db import DatabaseError, ProgrammingError, connection, transaction
from django.test import override_settings

from audit import clock
from recordings.models import Conversation, PermittedUse, Segment
from retention.models import Certificate, Destruction, Hold
from retention.operations import certificates
from tests.factories import Centre
from tests.harness.roles import Role
from tests.retention.centre import counted
from tests.retention.certified import certify, destroy, file_of
from tests.retention.lifted import close, second_officer

ROLES: tuple[Role, ...] = ("web", "work", "purge", "owner")


def delete_past(centre: Centre) -> int:
    """What the task does, with the rights of the purge."""
    with centre.stage.acting_as("purge"):
        return certificates.delete_past(now=clock.now())


def refused(centre: Centre, role: Role, statement: str) -> bool:
    """Whether the database refuses it to the role, whatever it touches."""
    with centre.stage.acting_as(role), connection.cursor() as cursor:
        try:
            with transaction.atomic():
                cursor.execute(statement)
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except (DatabaseError, ProgrammingError):
            return True
    return False


class TestDeletePast:
    def test_leaves_alone_what_has_its_term_before_it(self, centre):
        destroy(centre, centre.call())
        (made,) = certify(centre.stage)

        assert delete_past(centre) == 0

        assert made.keep_until.year == made.issued_at.year + 10
        assert Certificate.objects.get().lines.count() == 1
        assert Conversation.objects.filter(state="destroyed").count() == 1

    def test_takes_the_certificate_with_its_residual_records_and_nothing_of_others(self, centre):
        kept, continued = centre.call(), centre.call()
        once_held = centre.call()
        matter = centre.matter_of(once_held)
        close(matter, people=(centre.olga, second_officer(centre)), keyring=centre.keyring())
        Conversation.objects.filter(pk=continued.pk).update(linked_to=once_held)
        with override_settings(CERTIFICATE_KEPT_YEARS=0):
            destroy(centre, once_held)
            certify(centre.stage)
        destroy(centre, centre.call())
        certify(centre.stage)
        before = set(Conversation.objects.exclude(pk=once_held.pk).values_list("pk", flat=True))

        assert delete_past(centre) == 1
        assert delete_past(centre) == 0

        assert set(Conversation.objects.values_list("pk", flat=True)) == before
        assert Conversation.objects.get(pk=continued.pk).linked_to is None
        assert Conversation.objects.get(pk=kept.pk).state == "kept"
        for model in (Destruction, Hold, Segment, PermittedUse):
            assert not model.objects.filter(conversation=once_held.pk).exists()
        assert Certificate.objects.count() == 1
        assert counted("certificate.deleted") == 1

    def test_ended_half_way_it_takes_nothing_and_goes_on(self, centre, monkeypatch):
        with override_settings(CERTIFICATE_KEPT_YEARS=0):
            destroy(centre, centre.chat())
            (made,) = certify(centre.stage)
        before = file_of(made)

        def deadly(**_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(certificates, "append", deadly)
            delete_past(centre)

        assert file_of(made) == before
        assert delete_past(centre) == 1
        assert not Destruction.objects.exists()


class TestTheDatabase:
    def test_refuses_to_change_or_end_what_is_certified_to_everybody(self, centre):
        centre.matter_of(centre.chat())
        destroy(centre, centre.chat())
        certify(centre.stage)

        for role, statement in product(
            ROLES,
            (
                "UPDATE retention_certificate SET seal = '{}'",
                "UPDATE retention_certificate SET seal = NULL, sealed_at = NULL",
                "UPDATE retention_certificate SET keep_until = now()",
                "UPDATE retention_destruction SET line = '{}'",
                "UPDATE retention_destruction SET certificate_id = NULL",
                "UPDATE retention_destruction SET objects_destroyed = '[]'",
                "DELETE FROM retention_certificate",
                "DELETE FROM retention_destruction",
                "DELETE FROM retention_hold",
                "DELETE FROM recordings_conversation WHERE state = 'destroyed'",
                "DELETE FROM recordings_conversation WHERE state = 'kept'",
                "TRUNCATE retention_certificate CASCADE",
            ),
        ):
            assert refused(centre, role, statement), f"{role}: {statement}"

    def test_who_destroys_does_not_certify(self, centre):
        destroy(centre, centre.chat())

        assert refused(centre, "purge", "UPDATE retention_destruction SET leaf_index = 1")
        assert refused(
            centre,
            "purge",
            "INSERT INTO retention_certificate (id) VALUES (gen_random_uuid())",
        )
        assert refused(centre, "work", "UPDATE retention_destruction SET objects_destroyed = '[]'")
        assert refused(centre, "work", "DELETE FROM retention_destruction")
