"""The database's clock, which never goes back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

from audit import clock
from tests.audit.given import rows, run

pytestmark = pytest.mark.django_db

AHEAD = timedelta(hours=3)


def set_the_mark_ahead() -> None:
    """As if the host's clock had been three hours ahead, and has now been set right."""
    run(
        "SELECT setval('audit_clock_mark', "
        "(extract(epoch FROM clock_timestamp() + interval '3 hours') * 1000000)::bigint)"
    )


class TestNow:
    def test_is_the_databases_time_for_every_role(self, acting_as):
        for role in ("owner", "web", "work", "purge"):
            with acting_as(role):
                before = rows("SELECT clock_timestamp()")[0][0]
                now = clock.now()
                after = rows("SELECT clock_timestamp()")[0][0]

            assert before <= now <= after
            assert now.utcoffset() == timedelta(0)

    def test_does_not_follow_a_clock_that_is_set_back(self):
        right = clock.now()
        set_the_mark_ahead()

        first, second = clock.now(), clock.now()

        assert first - right >= AHEAD
        assert second >= first

    def test_does_not_lose_its_mark_to_a_rollback(self):
        run("SELECT setval('audit_clock_mark', 0)")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            seen = clock.now()
            raise ZeroDivisionError

        mark = rows("SELECT last_value FROM audit_clock_mark")[0][0]
        assert mark == round(seen.timestamp() * 1_000_000)

    def test_is_known_in_a_read_only_transaction(self):
        run("SELECT setval('audit_clock_mark', 0)")
        with transaction.atomic():
            run("SET TRANSACTION READ ONLY")
            assert clock.now()

    def test_never_goes_back(self):
        seen = [clock.now() for _ in range(200)]

        assert seen == sorted(seen)

    def test_ignores_the_hosts_clock(self, time_machine):
        clock.now()
        time_machine.move_to("2040-06-01")

        assert clock.now().year < 2040
