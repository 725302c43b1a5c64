"""What is decided about a log on its pages, checked."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from audit import cuts


class TermForm(forms.Form):
    """How many months the log is kept."""

    months = forms.IntegerField(
        label=_("Months"), min_value=cuts.SHORTEST_MONTHS, max_value=cuts.LONGEST_WITH_REASON
    )
    legal_reason = forms.CharField(
        label=_("Legal reason"),
        help_text=_("Needed for more than 36 months."),
        required=False,
        max_length=500,
    )


class HoldForm(forms.Form):
    """Why the whole log is held; names nobody."""

    reason = forms.CharField(label=_("Reason"), max_length=500)


class LiftForm(HoldForm):
    """Which hold on the log is lifted, and why."""

    hold = forms.UUIDField(widget=forms.HiddenInput)


class ProposalForm(forms.Form):
    """Which events of the log are to be cut: the class, and the first month that stays."""

    about_conversation = forms.TypedChoiceField(
        label=_("Events"),
        choices=[
            ("no", _("that are not about a conversation")),
            ("yes", _("about conversations destroyed a whole term ago")),
        ],
        coerce=lambda text: text == "yes",
    )
    until_month = forms.DateField(
        label=_("From before the month"),
        input_formats=["%Y-%m"],
        widget=forms.DateInput(attrs={"type": "month"}, format="%Y-%m"),
    )

    def clean_until_month(self) -> date:
        """Take the month's first day."""
        given: date = self.cleaned_data["until_month"]
        return given.replace(day=1)


class AgreementForm(forms.Form):
    """Which cut is agreed to."""

    cut = forms.UUIDField(widget=forms.HiddenInput)


class ReportForm(forms.Form):
    """Whose report is made, and whether staff are named in it."""

    subject = forms.UUIDField(label=_("Data subject's reference"))
    conversations = forms.CharField(
        label=_("Her conversations"),
        help_text=_("Identifiers, one a line: looks without a known data subject are counted."),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
    )
    with_staff = forms.BooleanField(label=_("Name who looked"), required=False)
    reason = forms.CharField(
        label=_("Why staff must be named"),
        help_text=_("Only where she needs to know for her rights. It is logged."),
        required=False,
        max_length=500,
    )

    def clean_conversations(self) -> list[UUID]:
        """Read the identifiers."""
        try:
            return [UUID(part) for part in self.cleaned_data["conversations"].split()]
        except ValueError as error:
            raise ValidationError(_("That is no identifier of a conversation.")) from error
