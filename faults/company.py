"""A company whose conversations are purged while things break, and the account of it afterwards."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.test import override_settings

from audit import clock
from audit.models import Event
from bench.centre import Centre as BenchCentre
from bench.stage import DATABASE
from recordings.keyring import FileKeyring
from recordings.models import Conversation
from recordings.objectstore import ObjectStore
from retention.models import Destruction, PurgeRun
from retention.operations.purge.run import PurgeStopped, Tally, purge
from tests.harness.roles import ProxiedStage, Stage
from tests.retention.centre import Centre
from tests.retention.killed_purge import Killable

ONCE = ("conversation.withdrawn", "content_key.destroyed", "conversation.destroyed")
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.02
# Runs of this size are usual here.
NO_BRAKE = {"PURGE_BRAKE_MINIMUM": 10**6}


class Company(Centre):
    """One company; each fault has conversations of its own."""

    def __init__(self, centre: BenchCentre, *, stage: Stage | None = None) -> None:
        stage = stage or Stage(centre.stage.servers, DATABASE, centre.stage.keys)
        FileKeyring.prepare(stage.keys)
        super().__init__(stage)

    @property
    def url(self) -> str:
        """The database's address with the purge's login."""
        return self.stage.environment("purge")["DATABASE_URL"]

    def keep(self, count: int) -> list[Conversation]:
        """That many which are not due."""
        return self.capture(count, destroy_after=clock.now() + timedelta(days=1))

    def stage_through(self, url: str) -> Stage:
        """Give the same stage with that address for the store's."""
        return ProxiedStage.of(self.stage, url)

    def purge_through(self, url: str, **changed: Any) -> Tally:
        """One run by way of that address."""
        with (
            self.stage_through(url).acting_as("purge"),
            override_settings(**NO_BRAKE, **changed),
        ):
            return purge(
                content=ObjectStore.for_purge(), anchor=ObjectStore.for_anchor(), clock=clock.now
            )

    def finish(self) -> Tally:
        """Runs until nothing is left to do at once."""
        with override_settings(**NO_BRAKE):
            while True:
                with suppress(PurgeStopped):
                    if not (tally := self.purge()).postponed:
                        return tally

    def account(self, due: Sequence[Conversation]) -> dict[str, int]:
        """
        What became of them, asked of the database, the log and the store.

        All is well when `gone` and `lines` are as many as there were and the rest is zero.
        """
        ids = [one.pk for one in due]
        gone = Conversation.objects.filter(pk__in=ids, state="destroyed", wrapped_key=None)
        lines = Destruction.objects.filter(conversation__in=ids, concluded_at__isnull=False)
        told = Counter(
            Event.objects.filter(conversation__in=ids, event_type__in=ONCE).values_list(
                "conversation", "event_type"
            )
        )
        wanted = {(pk, event_type) for pk in ids for event_type in ONCE}
        return {
            "gone": gone.count(),
            "lines": lines.count(),
            "events_missing": len(wanted - set(told)),
            "events_twice": sum(count > 1 for count in told.values()),
            "versions_left": sum(len(self.versions_of(one)) for one in due),
            "need_person": Destruction.objects.filter(
                conversation__in=ids, needs_person_at__isnull=False, concluded_at=None
            ).count(),
            "runs_open": PurgeRun.objects.filter(state=PurgeRun.State.RUNNING).count(),
        }


def is_all_gone(account: dict[str, int], *, of: int) -> bool:
    """Whether each of so many is gone, with one line and one event of each step."""
    faults = sum(number for name, number in account.items() if name not in ("gone", "lines"))
    return account["gone"] == account["lines"] == of and not faults


@contextmanager
def killables(company: Company, count: int = 1) -> Iterator[list[Killable]]:
    """Processes that fork purges."""
    made = [Killable(company.stage.environment("purge")) for _ in range(count)]
    try:
        yield made
    finally:
        for each in made:
            each.stop()


def kill(pid: int) -> bool:
    """End a process at once; False if it had ended by itself."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def has_ended(pid: int) -> bool:
    """Whether there is no such process any more, or nobody has asked yet how it ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def wait_until(is_so: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> float:
    """Wait, and say how many seconds it took. Raises TimeoutError."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > seconds:
            raise TimeoutError("It did not come to that.")
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began
