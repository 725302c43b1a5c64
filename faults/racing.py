"""Holds and requests race against a purge: what was committed first always wins."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from django.db import connection

from accounts.roles import Role
from audit import clock
from bench.centre import Centre
from bench.measuring import Scale
from faults.company import NO_BRAKE, Company, has_ended, killables, wait_until
from faults.outcome import Outcome
from recordings.models import Conversation
from retention.models import Destruction, Hold
from retention.operations import holds
from tests.retention import given

HOLDS = {Scale.SMALL: 100, Scale.FULL: 1_000}
REQUESTS = {Scale.SMALL: 50, Scale.FULL: 200}
RACERS = 3
# So few are withdrawn together that a racer meets every step of them.
BATCH = {"PURGE_BATCH_SIZE": 3, **NO_BRAKE}
IN_STORE = 60
AT_ONCE = 150
LONGEST_WAIT_SECONDS = 0.15
TOO_LATE, BROUGHT_BACK, IN_TIME = "too_late", "brought_back", "in_time"

# Bars the destruction of one conversation, if it still can; says which.
Bar = Callable[[UUID], str]


def run(centre: Centre, scale: Scale) -> Iterator[Outcome]:
    """Race so often with holds, then with requests."""
    company = Company(centre)
    yield _holds(company, HOLDS[scale])
    yield _requests(company, REQUESTS[scale])


@dataclass(slots=True)
class Race:
    """Racers bar what a purge is about to destroy; each conversation is raced for once."""

    company: Company
    bar: Bar
    races: int
    raced: dict[UUID, str] = field(default_factory=dict)
    is_purging: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    errors: list[BaseException] = field(default_factory=list)

    def go_on(self, seed: int) -> None:
        """Race until it was so often."""
        chance = random.Random(seed)
        try:
            while len(self.raced) < self.races and not self.errors:
                self.is_purging.wait(1.0)
                for target in self._targets(chance):
                    # Until then the purge may be at any step of it.
                    time.sleep(chance.uniform(0.0, LONGEST_WAIT_SECONDS))
                    self.raced[target] = self.bar(target)
        except BaseException as error:
            self.errors.append(error)
            raise
        finally:
            connection.close()

    def _targets(self, chance: random.Random) -> list[UUID]:
        """One at the front of the queue of a purge that works, or one that it has withdrawn."""
        if not self.is_purging.is_set():
            return []
        mine = Conversation.objects.filter(
            source=self.company.source,
            hold_count=0,
            open_requests=0,
            destroy_after__lte=clock.now(),
        )
        if chance.random() < 0.3:
            found = mine.filter(state="withdrawn", key_destroyed_at=None)
        else:
            found = mine.filter(state="kept").order_by("destroy_after", "pk")
        ids = [pk for pk in found.values_list("pk", flat=True)[:9] if pk not in self.raced]
        with self.lock:
            free = [pk for pk in ids if pk not in self.raced]
            if not free:
                return []
            chosen = chance.choice(free)
            self.raced[chosen] = ""
        return [chosen]

    def run(self) -> Counter[str]:
        """Have purges follow one another until all have raced; gives how the races ended."""
        threads = [
            threading.Thread(target=self.go_on, args=[seed], name=f"racer {seed}")
            for seed in range(RACERS)
        ]
        for thread in threads:
            thread.start()
        with killables(self.company) as (killable,):
            while any(thread.is_alive() for thread in threads):
                waiting = Conversation.objects.due(at=clock.now()).count()
                if waiting < IN_STORE:
                    self.company.capture(AT_ONCE)
                begun = Destruction.objects.count()
                child = killable.start(database_url=self.company.url, settings=BATCH)
                wait_until(partial(_has_begun, child, begun))
                self.is_purging.set()
                killable.wait()
                self.is_purging.clear()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]
        self.company.finish()
        return Counter(self.raced.values())


def _has_begun(child: int, begun: int) -> bool:
    return has_ended(child) or Destruction.objects.count() > begun


def _holds(company: Company, races: int) -> Outcome:
    matter = given.a_matter(company.controller)
    bea = given.a_user("Bea", Role.COMPLIANCE_OFFICER)

    def place(conversation_id: UUID) -> str:
        placed = holds.place_hold(
            matter=matter,
            conversation_ids=[conversation_id],
            placed_by=bea,
            keyring=company.keyring,
            now=clock.now(),
        )
        if placed.too_late:
            return TOO_LATE
        return BROUGHT_BACK if placed.brought_back else IN_TIME

    race = Race(company, place, races)
    ended = race.run()
    won = [pk for pk, how in race.raced.items() if how != TOO_LATE]
    held = Hold.objects.filter(conversation__in=won, lifted_at=None)
    return _outcome("hold_against_purge", race, ended, won, {"holds_in_force": held.count()})


def _requests(company: Company, races: int) -> Outcome:
    def open_request(conversation_id: UUID) -> str:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE recordings_conversation SET open_requests = 1 "
                "WHERE id = %s AND wrapped_key IS NOT NULL RETURNING state",
                [conversation_id],
            )
            found = cursor.fetchone()
        if found is None:
            return TOO_LATE
        return BROUGHT_BACK if found[0] == "withdrawn" else IN_TIME

    race = Race(company, open_request, races)
    ended = race.run()
    won = [pk for pk, how in race.raced.items() if how != TOO_LATE]
    asked = Conversation.objects.filter(pk__in=won, open_requests=1)
    outcome = _outcome("request_against_purge", race, ended, won, {"requests_open": asked.count()})
    asked.update(open_requests=0)
    company.finish()
    return outcome


def _outcome(
    name: str, race: Race, ended: Counter[str], won: list[UUID], bars: dict[str, int]
) -> Outcome:
    whole = Conversation.objects.filter(pk__in=won, state="kept", wrapped_key__isnull=False)
    intact = sum(len(race.company.versions_of(one)) == 2 for one in whole)
    lines = Destruction.objects.filter(conversation__in=won, recalled_at=None).count()
    lost = Conversation.objects.filter(
        pk__in=[pk for pk, how in race.raced.items() if how == TOO_LATE]
    ).exclude(state="destroyed")
    (bar,) = bars.values()
    return Outcome(
        name,
        intact == bar == len(won)
        and lines == 0
        and not lost.exists()
        and all(ended[how] for how in (TOO_LATE, BROUGHT_BACK, IN_TIME)),
        {
            "races": len(race.raced),
            **{how: ended[how] for how in (IN_TIME, BROUGHT_BACK, TOO_LATE)},
            "destroyed_after_it": len(won) - intact,
            "lines_of_what_is_kept": lines,
            **bars,
        },
    )
