"""Questions about purge runs: how they stand, what they prove, and what they only observe."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Q, QuerySet

from accounts.models import Controller, Source
from audit.events import INSTALLATION, EventType, Outcome
from audit.models import Event
from recordings.models import Conversation
from retention.models import Certificate, Destruction, PurgeRun

# How many lines of a certificate are read together.
LINES_TOGETHER = 500


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How many conversations of a run stand where."""

    begun: int = 0
    concluded: int = 0
    recalled: int = 0
    person: int = 0

    @property
    def going(self) -> int:
        """Those withdrawn whose destruction is not concluded."""
        return self.begun - self.concluded - self.recalled


def run_counts(
    runs: Collection[PurgeRun], *, controllers: Collection[Controller]
) -> dict[UUID, RunCounts]:
    """
    Count each run's destructions of these controllers by where they stand, by run.

    A run is one for the whole installation: that it took place is no secret, what it destroyed of
    another company is.
    """
    rows = (
        Destruction.objects.filter(run__in=runs, controller__in=controllers)
        .order_by()
        .values("run_id")
        .annotate(
            begun=Count("pk"),
            concluded=Count("pk", filter=Q(concluded_at__isnull=False)),
            recalled=Count("pk", filter=Q(recalled_at__isnull=False)),
            person=Count("pk", filter=Q(needs_person_at__isnull=False, concluded_at=None)),
        )
    )
    found = {
        row["run_id"]: RunCounts(row["begun"], row["concluded"], row["recalled"], row["person"])
        for row in rows
    }
    return {run.pk: found.get(run.pk, RunCounts()) for run in runs}


def destructions_of(run: PurgeRun, *, controllers: Collection[Controller]) -> QuerySet[Destruction]:
    """What the run did to conversations of these controllers, in the order it began."""
    return run.destructions.filter(controller__in=controllers).order_by("withdrawn_at", "pk")


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What was cleared away after a run, when, and whether all of it was; `store` is a code."""

    at: datetime
    tables: int
    store: str
    is_done: bool


def maintenance_of(run: PurgeRun) -> Maintenance | None:
    """The newest maintenance that followed a run, as the log has it; None before the first."""
    event = (
        Event.objects.filter(
            log=INSTALLATION, target=str(run.pk), event_type=EventType.PURGE_RUN_MAINTAINED
        )
        .order_by("-happened_at", "-id")
        .first()
    )
    if event is None:
        return None
    facts = json.loads(event.body)["x"]
    return Maintenance(
        at=event.happened_at,
        tables=facts["tables"],
        store=facts["state"],
        is_done=event.outcome == Outcome.ALLOW,
    )


def certificates_of(run: PurgeRun, *, controllers: Collection[Controller]) -> QuerySet[Certificate]:
    """The run's certificates for these controllers, sealed or awaiting their seal."""
    return (
        run.certificates.filter(controller__in=controllers)
        .select_related("controller")
        .order_by("controller__name", "number")
    )


def lines_of(certificate: Certificate, *, after: int = -1) -> Iterator[str]:
    """The lines of a certificate in the order of the log, read a few at a time."""
    reached: int | None = after
    while True:
        rows = certificate.lines.filter(leaf_index__gt=reached).order_by("leaf_index")
        page = list(rows.values_list("leaf_index", "line")[:LINES_TOGETHER])
        if not page:
            return
        yield from (line for _, line in page)
        reached = page[-1][0]


def observed_sources(*, controllers: Collection[Controller]) -> QuerySet[Source]:
    """The sources whose conversations purge runs only observe."""
    return (
        Source.objects.filter(controller__in=controllers, released_at=None)
        .select_related("controller")
        .order_by("controller__name", "name")
    )


def past_and_observed(
    controller: Controller, source: Source | None, *, at: datetime
) -> QuerySet[Conversation]:
    """What has reached its end and is free of holds and requests, of one source or all."""
    past = Conversation.objects.kept().filter(
        controller=controller, destroy_after__lte=at, hold_count=0, open_requests=0
    )
    return past.filter(source=source) if source is not None else past
