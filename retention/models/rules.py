"""Which conversations are kept for which purpose, how long, and on which legal basis."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from accounts.models import Controller, Purpose
from recordings.models import Conversation
from retention.models.enacted import Enacted, EnactedQuerySet, by_two


class RetentionRule(models.Model):
    """A rule of one controller for one purpose; what it says stands in its versions."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    controller = models.ForeignKey(
        Controller, on_delete=models.PROTECT, related_name="retention_rules"
    )
    purpose = models.ForeignKey(Purpose, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)

    class Meta:
        ordering = ["controller__name", "name"]
        constraints = [
            models.UniqueConstraint(name="rule_name_once", fields=["controller", "name"])
        ]

    def __str__(self) -> str:
        return self.name


class RuleVersionQuerySet(EnactedQuerySet["RuleVersion"]):
    """Names for when a version speaks."""

    def begun(self, *, at: datetime) -> Self:
        """Those in force by that time, or followed by another since."""
        return self.filter(in_force_from__lte=at, taken_back_at=None)

    def in_force(self, *, at: datetime) -> Self:
        """The newest version of each rule at that time, unless that one retires the rule."""
        return super().in_force(at=at).filter(is_retired=False)


class RuleVersion(Enacted):
    """
    What a rule says from a time on; never changed, only followed by another.

    An empty list matches every one, and so does a missing bound of the duration. The time is
    counted from `trigger` in the controller's zone: `keep_months` calendar months and then
    `keep_days` days. Where that is an event, it ends `cap_months` after the conversation at the
    latest. An exclusion keeps nothing: what it matches is never used for the purpose.
    """

    class LegalBasis(models.TextChoices):
        """GDPR Art. 6(1), by letter."""

        CONSENT = "6.1.a", _("Consent (Art. 6(1)(a))")
        CONTRACT = "6.1.b", _("Contract (Art. 6(1)(b))")
        OBLIGATION = "6.1.c", _("Legal obligation (Art. 6(1)(c))")
        VITAL_INTEREST = "6.1.d", _("Vital interests (Art. 6(1)(d))")
        PUBLIC_TASK = "6.1.e", _("Public task (Art. 6(1)(e))")
        LEGITIMATE_INTEREST = "6.1.f", _("Legitimate interests (Art. 6(1)(f))")

    class Trigger(models.TextChoices):
        """What the time is counted from."""

        ENDED_AT = "ended_at", _("End of the conversation")
        CONTRACT_ENDED = "contract.ended", _("End of the contract")
        CLAIM_CLOSED = "claim.closed", _("Closing of the claim")

    SERIES: ClassVar[tuple[str, ...]] = ("rule",)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    rule = models.ForeignKey(RetentionRule, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    is_retired = models.BooleanField(default=False)
    kinds = ArrayField(
        models.CharField(max_length=4, choices=Conversation.Kind), default=list, blank=True
    )
    teams = ArrayField(models.UUIDField(), default=list, blank=True)
    queues = ArrayField(models.UUIDField(), default=list, blank=True)
    directions = ArrayField(
        models.CharField(max_length=10, choices=Conversation.Direction), default=list, blank=True
    )
    outcomes = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    languages = ArrayField(models.CharField(max_length=10), default=list, blank=True)
    tags = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    shortest_seconds = models.PositiveIntegerField(null=True, blank=True)
    longest_seconds = models.PositiveIntegerField(null=True, blank=True)
    is_exclusion = models.BooleanField(default=False)
    trigger = models.CharField(max_length=30, choices=Trigger, default=Trigger.ENDED_AT)
    keep_months = models.PositiveSmallIntegerField(default=0)
    keep_days = models.PositiveSmallIntegerField(default=0)
    cap_months = models.PositiveSmallIntegerField(null=True, blank=True)
    legal_basis = models.CharField(max_length=10, choices=LegalBasis, blank=True)
    statute = models.CharField(
        max_length=300,
        blank=True,
        help_text=_("Without one, it lengthens nothing that was captured under a shorter notice."),
    )
    article_9_condition = models.CharField(
        max_length=200,
        blank=True,
        help_text=_("Without one, content that may hold health data is closed to this purpose."),
    )

    objects = RuleVersionQuerySet.as_manager()

    class Meta:
        ordering = ["rule", "-number"]
        constraints = [
            models.UniqueConstraint(name="rule_version_once", fields=["rule", "number"]),
            by_two("rule_version_approved_by_another"),
            models.CheckConstraint(
                name="rule_version_keeps_some_time",
                condition=Q(keep_months__gt=0)
                | Q(keep_days__gt=0)
                | Q(is_retired=True)
                | Q(is_exclusion=True),
            ),
            models.CheckConstraint(
                name="rule_version_capped_iff_by_event",
                condition=Q(trigger="ended_at", cap_months=None)
                | (~Q(trigger="ended_at") & Q(cap_months__isnull=False)),
            ),
            models.CheckConstraint(
                name="rule_version_has_basis_unless_exclusion",
                condition=Q(is_exclusion=True) | ~Q(legal_basis=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule_id} v{self.number}"


class PurposeLimit(Enacted):
    """The shortest and the longest that a purpose allows at one controller, in calendar months."""

    SERIES: ClassVar[tuple[str, ...]] = ("controller", "purpose")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    controller = models.ForeignKey(Controller, on_delete=models.PROTECT, related_name="+")
    purpose = models.ForeignKey(Purpose, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField()
    floor_months = models.PositiveSmallIntegerField(null=True, blank=True)
    ceiling_months = models.PositiveSmallIntegerField(null=True, blank=True)
    source = models.CharField(max_length=300, help_text=_("The statute or decision it rests on."))

    objects = EnactedQuerySet["PurposeLimit"].as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="purpose_limit_number_once", fields=["controller", "purpose", "number"]
            ),
            by_two("purpose_limit_approved_by_another"),
            models.CheckConstraint(
                name="purpose_limit_floor_below_ceiling",
                condition=Q(floor_months=None)
                | Q(ceiling_months=None)
                | Q(floor_months__lte=models.F("ceiling_months")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose_id}: {self.floor_months}-{self.ceiling_months}"


class RecomputationQuerySet(models.QuerySet["Recomputation"]):
    """Names for where a re-computation stands."""

    def open(self) -> Self:
        """Those neither finished nor replaced by a newer one of the same controller."""
        return self.filter(finished_at=None, replaced_at=None)


class Recomputation(models.Model):
    """
    One pass over a controller's kept conversations after its rules changed.

    The newest says since when captures go by the rules: see `queries.last_change`.

    It goes by conversation id; `reached` is the last one done, so that a killed pass goes on where
    it stood. A newer change of rules replaces it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    controller = models.ForeignKey(Controller, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    replaced_at = models.DateTimeField(null=True, blank=True)
    reached = models.UUIDField(null=True, blank=True)
    total_count = models.PositiveIntegerField(default=0)
    done_count = models.PositiveIntegerField(default=0)
    changed_count = models.PositiveIntegerField(default=0)

    objects = RecomputationQuerySet.as_manager()

    class Meta:
        ordering = ["-requested_at"]
        constraints = [
            models.UniqueConstraint(
                name="recomputation_open_once",
                fields=["controller"],
                condition=Q(finished_at=None, replaced_at=None),
            )
        ]

    def __str__(self) -> str:
        return f"{self.controller_id} {self.requested_at:%Y-%m-%d %H:%M}"
