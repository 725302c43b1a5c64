"""Purge runs, and for each conversation the proof of its destruction."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from accounts.models import Controller
from recordings.models import Conversation


class PurgeRun(models.Model):
    """One run of the scheduled work that withdraws and destroys what is due."""

    class State(models.TextChoices):
        """Where it stands."""

        RUNNING = "running", _("Running")
        FINISHED = "finished", _("Finished")
        BRAKED = "braked", _("Stopped: much larger than usual")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    actor = models.CharField(max_length=100)
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    due_count = models.PositiveIntegerField(default=0)
    held_count = models.PositiveIntegerField(default=0)
    request_count = models.PositiveIntegerField(default=0)
    observed_count = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["-started_at"], name="purge_run_newest")]  # its page

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M}"


class DestructionQuerySet(models.QuerySet["Destruction"]):
    """Names for where a destruction stands."""

    def open(self) -> Self:
        """Those begun and neither concluded nor recalled by a hold."""
        return self.filter(concluded_at=None, recalled_at=None)

    def claimable(self, *, at: datetime) -> Self:
        """Those open that nobody works at, whose next try has come and that need no person."""
        return (
            self.open()
            .filter(needs_person_at=None)
            .filter(Q(leased_until=None) | Q(leased_until__lte=at))
            .filter(Q(next_try_at=None) | Q(next_try_at__lte=at))
        )


class Destruction(models.Model):
    """
    The proof for one conversation; with its run's others it becomes the certificate.

    A closed list of fields: staff only as references, digests of ciphertext only. `objects` holds
    [key, version id, SHA-256 of the ciphertext in hex] of each stored version. `lease_token`
    fences: who holds an older one can no longer write.

    Source: design, law 5; NIST SP 800-88r2 (cryptographic erase, then delete).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    run = models.ForeignKey(PurgeRun, on_delete=models.PROTECT, related_name="destructions")
    conversation = models.ForeignKey(
        Conversation, on_delete=models.PROTECT, related_name="destructions"
    )
    controller = models.ForeignKey(Controller, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=4)
    ended_at = models.DateTimeField()
    destroy_after = models.DateTimeField()
    rule_versions = ArrayField(models.UUIDField(), default=list)
    objects_destroyed = models.JSONField(default=list)
    method = models.CharField(max_length=40, default="cryptographic_erase+delete")

    withdrawn_at = models.DateTimeField()
    key_destroyed_at = models.DateTimeField(null=True, blank=True)
    ledger_key = models.CharField(max_length=200, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    concluded_at = models.DateTimeField(null=True, blank=True)
    recalled_at = models.DateTimeField(null=True, blank=True)

    lease_token = models.BigIntegerField(default=0)
    leased_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=300, blank=True)
    needs_person_at = models.DateTimeField(null=True, blank=True)

    objects = DestructionQuerySet.as_manager()

    class Meta:
        ordering = ["withdrawn_at"]
        indexes = [
            # claimable(): oldest first
            models.Index(
                fields=["withdrawn_at"],
                name="destruction_open",
                condition=Q(concluded_at=None, recalled_at=None),
            )
        ]
        constraints = [
            models.UniqueConstraint(
                name="destruction_once", fields=["conversation"], condition=Q(recalled_at=None)
            ),
            models.CheckConstraint(
                name="destruction_concluded_after_every_step",
                condition=Q(concluded_at=None)
                | (
                    Q(
                        key_destroyed_at__isnull=False,
                        deleted_at__isnull=False,
                        confirmed_at__isnull=False,
                    )
                    & ~Q(ledger_key="")
                ),
            ),
        ]

    def __str__(self) -> str:
        return str(self.conversation_id)
