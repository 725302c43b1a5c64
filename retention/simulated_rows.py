"""Reads what a simulation needs of a company's kept conversations: counted, and one by one."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from accounts.models import Controller, Queue, Source
from recordings.models import Conversation
from retention.contacts import contact_from
from retention.lens import (
    HAPPENED,
    KNOWN,
    REFERENCES,
    WIDTH,
    Lens,
    Signature,
    lens_for,
    stretches,
)
from retention.matching import Contact
from retention.queries import RuleBook

CHUNK = 200_000
# Sorts and joins of one chunk stay in memory; PostgreSQL's default of 4 MB is for small questions.
_WORK_MEMORY = "128MB"
_SAMPLE_PERCENT = 1

_DAY = "((c.ended_at AT TIME ZONE %(zone)s)::date - DATE '1970-01-01')"
_BARS = "c.hold_count > 0, c.open_requests > 0, c.source_id <> ALL(%(released)s)"
_KEYS = ", ".join(f"k{place}" for place in range(WIDTH + 3))
# What differs in a signature alone is put into one row: there are a thousand rows instead of a
# hundred thousand, and each of them costs more to fetch than to count.
_COUNTED = f"""
WITH served AS (
    SELECT conversation_id, array_agg(team_id) AS teams, array_agg(queue_id) AS queues
    FROM recordings_segment
    WHERE conversation_id >= %(first)s AND conversation_id <= %(last)s
    GROUP BY conversation_id
){{events}}, counted ({_KEYS}, day, number, first_at, last_at) AS (
    SELECT {{signature}}, {_BARS}, {_DAY}, count(*), min(c.ended_at), max(c.ended_at)
    FROM recordings_conversation c LEFT JOIN served s ON s.conversation_id = c.id {{join}}
    WHERE c.state = 'kept' AND c.controller_id = %(controller)s
      AND c.id >= %(first)s AND c.id <= %(last)s
    GROUP BY {", ".join(str(place) for place in range(1, WIDTH + 5))}
)
SELECT {_KEYS}, json_agg(json_build_array(
    day, number,
    (extract(epoch FROM first_at) * 1000000)::bigint,
    (extract(epoch FROM last_at) * 1000000)::bigint
))::text
FROM counted GROUP BY {_KEYS}
"""  # noqa: S608 (parts that stand here)
_EVENTS_OF_ALL = """, {known}, happened AS (
    SELECT r.conversation_id, {happened} FROM {references}
    WHERE r.conversation_id >= %(first)s AND r.conversation_id <= %(last)s
    GROUP BY r.conversation_id
)"""
_JOIN_ALL = "LEFT JOIN happened e ON e.conversation_id = c.id"
_SERVED_EACH = """
CROSS JOIN LATERAL (
    SELECT array_agg(team_id) AS teams, array_agg(queue_id) AS queues
    FROM recordings_segment WHERE conversation_id = c.id
) AS s
"""
_JOIN_EACH = """
CROSS JOIN LATERAL (
    SELECT {happened} FROM {references} WHERE r.conversation_id = c.id
) AS e
"""
_SINGLE = f"""
{{events}} SELECT {{signature}}, {_BARS}, {_DAY}, c.ended_at, c.id
FROM recordings_conversation c {_SERVED_EACH} {{join}}
WHERE c.state = 'kept' AND c.controller_id = %(controller)s AND {_DAY} = ANY(%(days)s)
"""  # noqa: S608 (parts that stand here)
_HELD = f"""
{{events}} SELECT {{signature}}, {_BARS}, {_DAY}, c.ended_at, c.id, h.matter_id
FROM retention_hold h JOIN recordings_conversation c ON c.id = h.conversation_id {_SERVED_EACH}
{{join}} WHERE h.lifted_at IS NULL AND c.state = 'kept' AND c.controller_id = %(controller)s
"""  # noqa: S608 (parts that stand here)
_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)


class Bars(NamedTuple):
    """What keeps a conversation from being destroyed when its time is over."""

    held: bool
    requested: bool
    observed: bool


@dataclass(frozen=True, slots=True)
class Counted:
    """
    How many conversations of one signature ended on which days.

    `signature` is what matching looks at besides the end, as text; `Reader.contact_of` reads it.
    A day is a number of days since 1970 by the company's calendar, how many ended on it, and the
    first and the last instant, in microseconds since 1970.
    """

    signature: Signature
    bars: Bars
    days: list[tuple[int, int, int, int]]


@dataclass(frozen=True, slots=True)
class Single:
    """One conversation; `matter` is of a hold that it was read by."""

    signature: Signature
    bars: Bars
    day: int
    ended_at: datetime
    conversation: UUID
    matter: UUID | None = None


@dataclass(frozen=True)
class Reader:
    """
    Reads the kept conversations of one company, barred as they are at a time.

    It tells those apart that one of the two books does, which differ in rules and limits only.
    """

    controller: Controller
    at: datetime
    old: RuleBook
    new: RuleBook

    @property
    def zone(self) -> ZoneInfo:
        """The company's time zone."""
        return self.old.zone

    @cached_property
    def _lens(self) -> Lens:
        return lens_for(
            [
                terms
                for book in (self.old, self.new)
                for some in (book.terms, book.earlier)
                for terms in some
            ],
            notices=self.old.noticed_months,
        )

    @cached_property
    def _released(self) -> list[UUID]:
        """The sources of which something may be destroyed; none of a company only observed."""
        since = self.controller.rules_released_at
        if since is None or since > self.at:
            return []
        sources = Source.objects.filter(released_at__lte=self.at)
        return list(sources.values_list("pk", flat=True))

    @cached_property
    def _health_queues(self) -> frozenset[UUID]:
        return frozenset(Queue.objects.filter(holds_health_data=True).values_list("pk", flat=True))

    def total(self) -> int:
        """How many there are."""
        return Conversation.objects.kept().filter(controller=self.controller).count()

    def chunks(self, *, total: int) -> list[tuple[UUID, UUID]]:
        """Divide them by id into chunks of about CHUNK; both ids belong to the chunk."""
        wanted = -(-total // CHUNK)
        if wanted < 2:
            return [(_FIRST, _LAST)]
        rows = self._rows(
            "SELECT id FROM recordings_conversation TABLESAMPLE SYSTEM (%(percent)s)",
            percent=_SAMPLE_PERCENT,
        )
        sample = sorted(pk for (pk,) in rows)
        inner = sorted(
            {sample[len(sample) * place // wanted] for place in range(1, wanted)} if sample else ()
        )
        bounds = [_FIRST, *inner, _LAST]
        return [
            (first if first == _FIRST else UUID(int=first.int + 1), last)
            for first, last in pairwise(bounds)
        ]

    def counted(self, chunk: tuple[UUID, UUID]) -> list[Counted]:
        """Count those of a chunk by signature, what bars them, and day."""
        first, last = chunk
        events = _EVENTS_OF_ALL if self._lens.events else ""
        statement = self._seen(_COUNTED, events=events, join=_JOIN_ALL)
        return [
            Counted(row[:WIDTH], Bars(*row[WIDTH:-1]), json.loads(row[-1]))
            for row in self._rows(statement, first=first, last=last)
        ]

    def of_days(self, days: Collection[int]) -> Iterator[Single]:
        """Those that ended on one of the days, one by one."""
        if days:
            yield from self._singles(_SINGLE, days=sorted(days))

    def held(self) -> Iterator[Single]:
        """Those that are held, once for each hold."""
        yield from self._singles(_HELD)

    def contact_of(self, signature: Signature, ended_at: datetime) -> Contact:
        """What matching sees of one with that signature."""
        return contact_from(
            self._lens.facts(signature, ended_at=ended_at),
            ended_at=ended_at,
            stretches=stretches(signature),
            health_queues=self._health_queues,
            book=self.old,
        )

    def _singles(self, statement: str, **values: Any) -> Iterator[Single]:
        events = "WITH {known}" if self._lens.events else ""
        statement = self._seen(statement, events=events, join=_JOIN_EACH)
        for row in self._rows(statement, **values):
            bars = Bars(*row[WIDTH : WIDTH + 3])
            yield Single(row[:WIDTH], bars, *row[WIDTH + 3 :])

    def _seen(self, statement: str, *, events: str, join: str) -> str:
        """The statement through the lens; events are read only if some rule counts from one."""
        told = {"known": KNOWN, "happened": HAPPENED, "references": REFERENCES}
        return statement.format(
            signature=self._lens.signature,
            events=events.format(**told),
            join=join.format(**told) if events else "",
        )

    def _rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        told: dict[str, Any] = {
            "controller": self.controller.pk,
            "zone": self.controller.time_zone,
            "released": self._released,
            "at": self.at,
            **self._lens.values,
            **values,
        }
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL work_mem = '{_WORK_MEMORY}'; SET LOCAL jit = off")
            cursor.execute(statement, told)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows
