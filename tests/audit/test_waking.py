"""Whoever waits for the sealer does not wait until its second is over."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest
from django.db import connection

from audit.waking import wait_for_call, wake_sealer

pytestmark = pytest.mark.django_db

SECONDS = 30


def test_a_call_ends_the_rest(acting_as):
    def rest() -> None:
        with closing(connection):
            wait_for_call(seconds=SECONDS)

    with acting_as("seal"):
        sealer = threading.Thread(target=rest)
        sealer.start()
        began = time.monotonic()
        while sealer.is_alive() and time.monotonic() < began + SECONDS / 2:
            wake_sealer()
            sealer.join(0.05)

        assert not sealer.is_alive()


def test_without_a_call_it_ends_by_itself():
    began = time.monotonic()

    wait_for_call(seconds=0.2)

    assert 0.2 <= time.monotonic() - began < SECONDS
