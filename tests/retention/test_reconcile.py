"""Reconciling finds what does not fit between database and store, and what is overdue."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection
from uuid_utils.compat import uuid7

from accounts.roles import Role
from audit import clock
from recordings.models import Conversation, StoredObject
from recordings.objectstore import content_key
from retention.models import Criterion, Destruction, Matter
from retention.operations import holds, mirror, reconcile
from retention.operations.purge import steps
from tests.harness.roles import Stage
from tests.retention import given
from tests.retention.centre import Centre, counted


class Books(Centre):
    """The company, whose bucket holds what other tests left there too."""

    def findings(self, *, repairs: bool = False) -> reconcile.Findings:
        """What does not fit, with the rights of the purge."""
        with self.stage.acting_as("purge"):
            return reconcile.reconcile(
                listing=self.listing, content=self.content, now=clock.now(), repairs=repairs
            )


@pytest.fixture
def books(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Books:
    """The company, on the stage of this test; the broker is left alone."""
    monkeypatch.setattr(mirror, "request", lambda *, conversation_ids: None)
    return Books(stage)


def _hold(books: Books, conversation: Conversation) -> None:
    bea = given.a_user("Bea", Role.COMPLIANCE_OFFICER)
    holds.place_hold(
        matter=given.a_matter(books.controller),
        conversation_ids=[conversation.pk],
        placed_by=bea,
        keyring=books.keyring,
        now=clock.now(),
    )


class TestReconcile:
    def test_what_fits_is_not_named(self, books):
        (kept,) = books.capture(destroy_after=clock.now() + timedelta(days=1))

        found = books.findings()

        assert found.rows_without_objects == []
        assert str(kept.pk) not in str(found.objects_without_rows)
        assert (found.holds_that_differ, found.overdue, found.stuck) == ([], [], [])
        assert (found.uncovered, found.events_misplaced, found.not_asked) == ([], 0, [])
        assert counted("store.reconciled") == 1

    def test_names_matters_past_their_day_and_those_at_which_nobody_works(self, books):
        past, still, _ = (given.a_matter(books.controller) for _ in range(3))
        Matter.objects.filter(pk=past.pk).update(review_at=clock.now())
        Criterion.objects.create(matter=still, kinds=["chat"], set_at=given.LONG_AGO)

        found = books.findings()

        assert found.attention["to_review"] == 1
        assert found.attention["holds_unapplied"] == 1
        assert found.faults >= 2

    def test_names_a_row_whose_object_is_gone(self, books):
        (kept,) = books.capture(destroy_after=clock.now() + timedelta(days=1))
        gone = books.versions_of(kept)[0]
        books.listing.delete_versions([(gone.key, gone.version_id)])

        assert books.findings().rows_without_objects == [gone.key]

    def test_names_an_object_that_no_row_knows_of_once_it_is_old_enough(self, books, servers):
        an_hour_ago = int((time.time() - 2 * 3600) * 1000)
        old = UUID(int=(an_hour_ago << 80) | (uuid7().int & (2**80 - 1)))
        day = clock.now().date()
        stray, new = (
            content_key(ended_on=day, conversation_id=uuid7(), part_id=part)
            for part in (old, uuid7())
        )
        for key in (stray, new):
            books.content.put(key, b"a stray")

        found = books.findings().objects_without_rows

        assert stray in found
        assert new not in found

    def test_names_a_second_version_that_hides_the_one_we_know(self, books, servers, monkeypatch):
        monkeypatch.setattr(reconcile, "SETTLES_SECONDS", -60)
        (kept,) = books.capture(destroy_after=clock.now() + timedelta(days=1))
        key = books.versions_of(kept)[0].key
        servers.s3("admin").put_object(
            Bucket=settings.S3_CONTENT_BUCKET, Key=key, Body=b"somebody's"
        )

        assert books.findings().objects_without_rows.count(key) == 1

    def test_names_holds_that_the_store_was_not_told_of_and_repairs_them(self, books):
        (held,) = books.capture()
        _hold(books, held)

        assert len(books.findings().holds_that_differ) == 2
        assert books.findings(repairs=True).repaired == 2
        assert books.findings().holds_that_differ == []
        assert mirror.pending().count() == 0

    def test_names_a_hold_that_somebody_took_off_in_the_store(self, books, servers):
        (held,) = books.capture()
        _hold(books, held)
        mirror.mirror_holds(store=books.content, now=clock.now())
        version = books.versions_of(held)[0]
        servers.s3("admin").put_object_legal_hold(
            Bucket=settings.S3_CONTENT_BUCKET,
            Key=version.key,
            VersionId=version.version_id,
            LegalHold={"Status": "OFF"},
        )

        assert books.findings().holds_that_differ == [version.key]

    def test_names_what_no_rule_covers_what_is_overdue_and_what_is_stuck(self, books, monkeypatch):
        uncovered, overdue, stuck = (
            books.capture(destroy_after=clock.now() - timedelta(days=3))[0] for _ in range(3)
        )
        Conversation.objects.exclude(pk=stuck.pk).update(open_requests=1)
        monkeypatch.setattr(steps, "write_ledger", _fail)
        with pytest.raises(ZeroDivisionError):
            books.purge()
        Destruction.objects.update(needs_person_at=clock.now())
        Conversation.objects.filter(pk=overdue.pk).update(open_requests=0)
        Conversation.objects.filter(pk=uncovered.pk).update(destroy_after=None)

        found = books.findings()

        assert found.uncovered == [uncovered.pk]
        assert found.overdue == [overdue.pk]
        assert found.stuck == [stuck.pk]
        assert found.faults >= 3

    def test_names_events_that_lie_outside_their_partition(self, books):
        with connection.cursor() as cursor:
            cursor.execute("SELECT audit_open_log('installation')")
        books.capture()
        books.purge()

        # This company's log was never opened.
        assert books.findings().events_misplaced > 0

    def test_says_what_it_had_no_identity_to_ask(self, books):
        with books.stage.acting_as("purge"):
            found = reconcile.reconcile(listing=None, content=None, now=clock.now())

        assert found.not_asked == ["objects", "legal_holds"]

    def test_does_not_mistake_what_is_being_destroyed(self, books, monkeypatch):
        monkeypatch.setattr(reconcile, "SETTLES_SECONDS", -60)
        (going,) = books.capture()
        monkeypatch.setattr(steps, "write_ledger", _fail)
        with pytest.raises(ZeroDivisionError):
            books.purge()

        found = books.findings()

        assert StoredObject.objects.count() == 2
        assert str(going.pk) not in str(found.objects_without_rows)
        assert found.rows_without_objects == []


def _fail(**members: object) -> None:
    raise ZeroDivisionError
