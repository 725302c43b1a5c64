"""What a change of rules would do, reckoned before anybody approves it."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from uuid_utils.compat import uuid7

from accounts.models import User
from retention.models.proposals import Proposal


class SimulationQuerySet(models.QuerySet["Simulation"]):
    """Names for where a simulation stands."""

    def open(self) -> Self:
        """Those that have no result yet."""
        return self.filter(finished_at=None)

    def waiting(self, *, silent_since: datetime) -> Self:
        """Those open that nobody works at, or whose worker has been silent since that time."""
        return self.open().filter(
            Q(heartbeat_at=None) | Q(heartbeat_at__lt=silent_since), needs_person_at=None
        )


class Simulation(models.Model):
    """
    One question of what changes of rules and limits would do, and its answer.

    `proposal` is what it was asked for, if it was proposed already. `changes` and `result` are
    canonical JSON; `result` is empty until it is finished. `at` is the time it is reckoned for.
    What a killed worker has done is done again from the start.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    proposal = models.ForeignKey(
        Proposal, on_delete=models.PROTECT, null=True, blank=True, related_name="simulations"
    )
    controllers = ArrayField(models.UUIDField())
    changes = models.TextField()
    at = models.DateTimeField()
    asked_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    asked_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    needs_person_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    done_count = models.PositiveIntegerField(default=0)
    total_count = models.PositiveIntegerField(default=0)
    result = models.TextField(blank=True)

    objects = SimulationQuerySet.as_manager()

    class Meta:
        ordering = ["-asked_at"]
        indexes = [
            # what the workers look for each minute
            models.Index(fields=["asked_at"], name="simulation_open", condition=Q(finished_at=None))
        ]

    def __str__(self) -> str:
        return f"{self.asked_at:%Y-%m-%d %H:%M}"
