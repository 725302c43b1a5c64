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
        RELEASED = "released", _("Stopped, then released by two persons")

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
    # Since when the store takes much longer than usual, or does not answer.
    slow_since = models.DateTimeField(null=True, blank=True)
    # Asked to end after its batch; what is left is taken by the next run.
    stop_asked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["-started_at"], name="purge_run_newest")]  # its page

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M}"


class PurgePause(models.Model):
    """A time in which no purge run destroys anything, because of a person or of the clocks."""

    class Reason(models.TextChoices):
        """Why."""

        PERSON = "person", _("Paused by a person")
        CLOCKS = "clocks", _("The clocks disagree")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    reason = models.CharField(max_length=10, choices=Reason)
    began_at = models.DateTimeField()
    began_by = models.CharField(max_length=100)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["-began_at"]
        constraints = [
            models.UniqueConstraint(
                name="purge_pause_open_once", fields=["reason"], condition=Q(ended_at=None)
            )
        ]

    def __str__(self) -> str:
        return f"{self.reason} {self.began_at:%Y-%m-%d %H:%M}"


class Certificate(models.Model):
    """
    The signed statement of what one run destroyed of one company: what `number` says of it.

    What a run finishes after its certificate was issued goes onto its next one. `fields` is the
    canonical JSON of the document without its lines, which lie with the destructions; `digest` is
    that of the whole, and an event in the company's log has it. It awaits the `seal` until that
    event is under a signed checkpoint.

    Source: design, law 5; docs/decisions/0009-certificates.md.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    run = models.ForeignKey(PurgeRun, on_delete=models.PROTECT, related_name="certificates")
    controller = models.ForeignKey(Controller, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveSmallIntegerField()
    issued_at = models.DateTimeField()
    keep_until = models.DateTimeField()
    line_count = models.PositiveIntegerField()
    fields = models.TextField()
    digest = models.CharField(max_length=64)
    seal = models.TextField(null=True)
    sealed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["issued_at", "number"]
        indexes = [
            # operations.certificates.seal_waiting
            models.Index(
                fields=["issued_at"], name="certificate_awaiting_seal", condition=Q(seal=None)
            ),
            # operations.certificates.delete_past
            models.Index(fields=["keep_until"], name="certificate_by_end"),
        ]
        constraints = [
            models.UniqueConstraint(
                name="certificate_once", fields=["run", "controller", "number"]
            ),
            models.CheckConstraint(
                name="certificate_sealed_at_iff_sealed",
                condition=Q(seal=None, sealed_at=None)
                | Q(seal__isnull=False, sealed_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class DestructionQuerySet(models.QuerySet["Destruction"]):
    """Names for where a destruction stands."""

    def uncertified(self) -> Self:
        """Those concluded that are on no certificate yet."""
        return self.filter(concluded_at__isnull=False, certificate=None)

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


class LedgerEntry(models.Model):
    """
    One entry of the ledger in the anchor bucket that this database has taken account of.

    The purge notes what it has written there; replaying notes what a restored database did not
    know. `contradicted` are the conversations of which rows and store said otherwise: they were
    closed, and somebody has to decide.

    Source: design, *Backups*; docs/decisions/0011-backups-forget-too.md.
    """

    key = models.CharField(primary_key=True, max_length=300)
    noted_at = models.DateTimeField()
    contradicted = ArrayField(models.UUIDField(), default=list)

    def __str__(self) -> str:
        return self.key


class Destruction(models.Model):
    """
    The proof for one conversation; with its run's others it becomes the certificate.

    A closed list of fields: staff only as references, digests of ciphertext only. `objects` holds
    [key, version id, SHA-256 of the ciphertext in hex] of each stored version. `line` is what the
    certificate says of it, `leaf_index` the place of its event in the log. `lease_token` fences:
    who holds an older one can no longer write.

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
    certificate = models.ForeignKey(
        Certificate,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="lines",
        db_index=False,  # the constraint of its places is one
    )
    leaf_index = models.BigIntegerField(null=True, blank=True)
    line = models.TextField(blank=True)

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
            ),
            # uncertified()
            models.Index(
                fields=["run", "controller"],
                name="destruction_uncertified",
                condition=Q(concluded_at__isnull=False, certificate=None),
            ),
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
            models.UniqueConstraint(
                name="destruction_place_once", fields=["certificate", "leaf_index"]
            ),
            models.CheckConstraint(
                name="destruction_certified_with_its_line",
                condition=Q(certificate=None, leaf_index=None, line="")
                | (
                    Q(
                        certificate__isnull=False,
                        leaf_index__isnull=False,
                        concluded_at__isnull=False,
                    )
                    & ~Q(line="")
                ),
            ),
        ]

    def __str__(self) -> str:
        return str(self.conversation_id)
