"""What one person proposed and a second one decides."""

from __future__ import annotations

from typing import Self

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from accounts.models import Controller, Purpose, Source, User
from retention.models.enacted import Urgency
from retention.models.purge import PurgeRun
from retention.models.rules import RetentionRule


class ProposalQuerySet(models.QuerySet["Proposal"]):
    """Names for where a proposal stands."""

    def open(self) -> Self:
        """Those that nobody has decided."""
        return self.filter(state=Proposal.State.OPEN)

    def of_releases(self) -> Self:
        """Those that would let purge runs destroy."""
        return self.filter(deed__in=Proposal.RELEASES)

    def of_rules(self) -> Self:
        """Those that would change rules or limits."""
        return self.exclude(deed__in=Proposal.RELEASES)


class Proposal(models.Model):
    """
    A deed that takes effect only when a second person agrees to it; decided once.

    `terms` is what a version or a limit shall say, by the names of its fields, or how many
    conversations a braked run had due. `based_on` is the number of the version or limit that the
    person saw, 0 for none. `controller` is empty for a run, which is one for the installation.

    Source: threats, T7; docs/decisions/0010-proposals.md.
    """

    class Deed(models.TextChoices):
        """What is proposed."""

        CREATE_RULE = "create_rule", _("New rule")
        CHANGE_RULE = "change_rule", _("Change of a rule")
        RETIRE_RULE = "retire_rule", _("Retiring a rule")
        SET_LIMIT = "set_limit", _("Limits of a purpose")
        RELEASE_SOURCE = "release_source", _("Releasing a source")
        RELEASE_RULES = "release_rules", _("Releasing a company's rules")
        RELEASE_RUN = "release_run", _("Releasing a stopped purge run")

    RELEASES = (Deed.RELEASE_SOURCE, Deed.RELEASE_RULES, Deed.RELEASE_RUN)

    class State(models.TextChoices):
        """Where it stands."""

        OPEN = "open", _("Awaits a second person")
        APPROVED = "approved", _("Approved")
        REFUSED = "refused", _("Refused")
        TAKEN_BACK = "taken_back", _("Taken back")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    deed = models.CharField(max_length=20, choices=Deed)
    controller = models.ForeignKey(
        Controller, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    purpose = models.ForeignKey(
        Purpose, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    rule = models.ForeignKey(
        RetentionRule, on_delete=models.PROTECT, null=True, blank=True, related_name="proposals"
    )
    source = models.ForeignKey(
        Source, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    run = models.ForeignKey(
        PurgeRun, on_delete=models.PROTECT, null=True, blank=True, related_name="releases"
    )
    name = models.CharField(max_length=200, blank=True)
    terms = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    based_on = models.PositiveIntegerField(default=0)
    wanted_from = models.DateTimeField(null=True, blank=True)
    urgency = models.CharField(max_length=20, choices=Urgency, blank=True)
    reason = models.TextField()
    proposed_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    proposed_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    decided_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_reason = models.TextField(blank=True)
    used_at = models.DateTimeField(null=True, blank=True)

    objects = ProposalQuerySet.as_manager()

    class Meta:
        ordering = ["-proposed_at"]
        constraints = [
            *(
                models.UniqueConstraint(
                    *fields,
                    name=f"proposal_open_once_per_{what}",
                    condition=Q(state="open", deed__in=deeds),
                )
                for what, fields, deeds in (
                    ("name", (F("controller"), Lower("name")), ["create_rule"]),
                    ("rule", (F("rule"),), ["change_rule", "retire_rule"]),
                    ("limit", (F("controller"), F("purpose")), ["set_limit"]),
                    ("source", (F("source"),), ["release_source"]),
                    ("company", (F("controller"),), ["release_rules"]),
                    ("run", (F("run"),), ["release_run"]),
                )
            ),
            models.CheckConstraint(
                name="proposal_decided_at_iff_decided",
                condition=Q(state="open", decided_at=None)
                | (~Q(state="open") & Q(decided_at__isnull=False)),
            ),
            models.CheckConstraint(
                name="proposal_decided_by_another",
                condition=Q(state__in=["open", "taken_back"])
                | Q(proposed_by=None)
                | Q(decided_by=None)
                | ~Q(proposed_by=F("decided_by")),
            ),
            models.CheckConstraint(
                name="proposal_has_a_company_unless_of_a_run",
                condition=Q(deed="release_run", run__isnull=False, controller=None)
                | (~Q(deed="release_run") & Q(run=None, controller__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.deed} {self.state}"
