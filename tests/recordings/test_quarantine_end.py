"""Quarantine ends: undecided after thirty days, key first, confirmed by listing, and for ever."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from audit import clock
from audit.models import Event
from recordings.models import QuarantinedItem
from recordings.objectstore import ObjectStore, StoreUnavailable
from recordings.operations.capture import DestroyedBefore
from recordings.operations.quarantine_end import Ended, destroy_due
from tests.factories import Centre
from tests.harness.faults import log_refused
from tests.recordings.deliveries import store_that_is_down
from tests.recordings.test_quarantine import BODY, put_aside


def expired(centre: Centre, **details: object) -> QuarantinedItem:
    """An item whose time to decide is over by now."""
    item = put_aside(centre, **details)  # type: ignore[arg-type]
    QuarantinedItem.objects.filter(pk=item.pk).update(decide_before=clock.now())
    return item


def end(centre: Centre, *, store: ObjectStore | None = None) -> Ended:
    """Destroy what is due, with the rights of the purge."""
    with centre.stage.acting_as("purge"):
        return destroy_due(store=store or ObjectStore.for_purge(), clock=clock.now)


def counted(event_type: str) -> int:
    return Event.objects.filter(event_type=event_type).count()


class TestDestroyDue:
    def test_takes_key_bytes_name_and_reason_and_says_so(self, centre: Centre):
        item = expired(centre)

        assert end(centre) == Ended(destroyed=1)

        item.refresh_from_db()
        assert (item.wrapped_key, bytes(item.sealed_name), item.reason) == (None, b"", "")
        with centre.stage.acting_as("purge"):
            assert list(ObjectStore.for_purge().list_versions(prefix=item.object_key)) == []
        assert (counted("quarantine.ended"), counted("quarantine.destroyed")) == (1, 1)

    def test_leaves_what_there_is_time_for_to_the_second(self, centre: Centre):
        item = put_aside(centre)
        deadline = item.received_at + timedelta(days=30)

        assert end(centre) == Ended()
        due = QuarantinedItem.objects.due
        assert not due(at=deadline - timedelta(seconds=1)).exists()
        assert due(at=deadline).get() == item

    def test_leaves_a_source_that_is_only_observed(self, centre: Centre):
        expired(centre)
        centre.pbx.released_at = None
        centre.pbx.save()

        assert end(centre) == Ended()

    def test_a_second_time_it_does_nothing(self, centre: Centre):
        expired(centre)
        end(centre)

        assert end(centre) == Ended()
        assert counted("quarantine.destroyed") == 1

    def test_a_store_that_is_away_leaves_it_unreadable_and_the_next_time_finishes(
        self, centre: Centre
    ):
        items = [expired(centre, body=BODY + bytes([each])) for each in range(3)]

        with pytest.raises(StoreUnavailable):
            end(centre, store=store_that_is_down())

        left = QuarantinedItem.objects.going()
        assert left.count() == len(items)
        assert not left.exclude(wrapped_key=None).exists()
        assert counted("quarantine.destroyed") == 0
        assert end(centre) == Ended(destroyed=3)

    def test_one_that_the_store_protects_is_not_called_destroyed(self, centre: Centre):
        item, other = expired(centre), expired(centre, body=b"other")
        with centre.stage.acting_as("work"):
            ObjectStore.for_content().put_legal_hold(item.object_key, item.version_id, is_held=True)

        assert end(centre) == Ended(destroyed=1, remaining=1)

        assert QuarantinedItem.objects.going().get() == item
        with centre.stage.acting_as("work"):
            ObjectStore.for_content().put_legal_hold(
                item.object_key, item.version_id, is_held=False
            )
        assert end(centre) == Ended(destroyed=1)
        assert other.pk != item.pk

    def test_without_the_log_nothing_is_destroyed(self, centre: Centre):
        expired(centre)

        with log_refused(centre.stage), pytest.raises(DatabaseError):
            end(centre)

        assert QuarantinedItem.objects.waiting().count() == 1
        assert end(centre) == Ended(destroyed=1)

    def test_what_was_destroyed_does_not_come_back_to_wait(self, centre: Centre):
        expired(centre)
        end(centre)

        with pytest.raises(DestroyedBefore):
            put_aside(centre, reason="Another reason.")

        assert not QuarantinedItem.objects.waiting().exists()
        assert counted("capture.refused") == 1

    def test_no_row_is_deleted_or_brought_back_by_hand(self, centre: Centre):
        item = expired(centre)
        end(centre)

        for statement in (
            lambda: QuarantinedItem.objects.filter(pk=item.pk).delete(),
            lambda: QuarantinedItem.objects.update(key_destroyed_at=None, wrapped_key=b"x"),
        ):
            with pytest.raises(IntegrityError), transaction.atomic():
                statement()
