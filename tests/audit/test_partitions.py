"""Each log, class and month has a partition of its own, and none missing is an outage."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connection, transaction

from audit import queries
from audit.models import Event
from audit.operations import append, create_partitions, open_log
from tests.audit.given import happened, played, rows, signed_in

pytestmark = pytest.mark.django_db

WHERE = "SELECT tableoid::regclass::text FROM audit_event ORDER BY id"


class TestPartitions:
    def test_part_what_is_about_conversations_from_the_rest(self):
        controller = uuid4()
        open_log(log=controller)

        happened(played(log=controller))
        happened(signed_in(log=controller))
        happened(signed_in())

        month = f"{Event.objects.earliest('id').month:%Y%m}"
        assert [name for (name,) in rows(WHERE)] == [
            f"audit_event_{controller.hex}_c_{month}",
            f"audit_event_{controller.hex}_o_{month}",
            f"audit_event_installation_o_{month}",
        ]

    def test_of_a_log_not_opened_are_replaced_by_the_default_and_it_is_seen(self, acting_as):
        controller = uuid4()

        happened(played(log=controller))

        assert rows(WHERE) == [("audit_event_default",)]
        with acting_as("work"):
            (fault,) = queries.partition_faults(months_ahead=0)
        assert (fault.log, fault.is_about_conversations) == (str(controller), True)
        assert fault.events == 1

    def test_are_made_around_what_lies_in_the_default(self):
        controller = uuid4()
        happened(played(log=controller))

        open_log(log=controller)
        happened(played(log=controller))
        happened(signed_in(log=controller))

        places = [name for (name,) in rows(WHERE)]
        assert places[:2] == ["audit_event_default"] * 2
        assert places[2].startswith(f"audit_event_{controller.hex}_o_")
        assert Event.objects.filter(log=str(controller)).count() == 3
        (fault,) = queries.partition_faults(months_ahead=2)
        assert fault.events == 2

    def test_are_made_ahead_once(self, acting_as):
        with acting_as("work"):
            first = create_partitions(months_ahead=5)
            second = create_partitions(months_ahead=5)

        assert (first, second) == (2 * 3, 0)
        assert not queries.partition_faults(months_ahead=5)

    def test_are_made_once_by_two_schedulers_at_a_time(self):
        def make(_number: int) -> int:
            try:
                return create_partitions(months_ahead=6)
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as pool:
            made = list(pool.map(make, range(2)))

        assert sorted(made) == [0, 2 * 4]

    def test_are_made_while_events_are_being_appended(self, stage):
        controller = uuid4()

        def make() -> None:
            try:
                open_log(log=controller)
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as pool, transaction.atomic():
            append(**signed_in())
            pool.submit(make).result(timeout=5)
            append(**signed_in())

        assert Event.objects.count() == 2


class TestOpenLog:
    def test_is_done_once(self):
        controller = uuid4()

        open_log(log=controller)
        open_log(log=controller)

        assert queries.logs() == [None, controller]
