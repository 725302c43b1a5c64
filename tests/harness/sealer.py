"""A sealer that runs beside a test, as the process of its own does in the product."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from django.db import DatabaseError, connection

from audit import clock
from audit.operations.sealing import Sealer, TreeAltered, introduce_key, waiting_logs
from audit.sealing_keys import SealingKeys


@contextmanager
def sealed_meanwhile(folder: Path) -> Iterator[SealingKeys]:
    """Seal whatever comes, with keys in that folder; begins as the role that is acted as."""
    keys = SealingKeys(folder)
    introduce_key(keys=keys, now=clock.now())
    has_begun, is_over = threading.Event(), threading.Event()
    failures: list[Exception] = []

    def seal() -> None:
        sealer = Sealer(keys)
        try:
            with closing(connection):
                while not is_over.wait(0.02):
                    for log in waiting_logs():
                        sealer.seal(log=log, now=clock.now())
                    has_begun.set()
        except (DatabaseError, TreeAltered) as error:
            failures.append(error)
        finally:
            has_begun.set()

    thread = threading.Thread(target=seal, name="sealer")
    thread.start()
    has_begun.wait()
    try:
        yield keys
    finally:
        is_over.set()
        thread.join()
    if failures:
        raise failures[0]
