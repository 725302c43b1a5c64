"""Repeats a call to the store while that is harmless and short."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from recordings.objectstore.errors import StoreUnavailable, translate

T = TypeVar("T")

TRIES = 5
# A call that hung for its 10 s is not repeated here: its caller has a lease to keep alive.
REPEAT_WITHIN_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.1


def call(deed: Callable[[], T]) -> T:
    """
    Do what may be done twice, up to TRIES times, with growing random pauses.

    Raises the StoreError that the last failure means.
    """
    started = time.monotonic()
    for attempt in range(TRIES):
        try:
            return deed()
        except (BotoCoreError, ClientError, HTTPError) as error:
            failure = translate(error)
            is_late = time.monotonic() - started > REPEAT_WITHIN_SECONDS
            if not isinstance(failure, StoreUnavailable) or is_late or attempt + 1 == TRIES:
                raise failure from error
        pause = FIRST_PAUSE_SECONDS * 2**attempt
        time.sleep(random.uniform(pause / 2, pause))  # noqa: S311
    raise AssertionError("unreachable")
