"""What a compliance officer fills in besides rules and matters: limits, notices, decisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import Controller, Purpose, Queue, Team
from recordings.models import Conversation
from retention.due_dates import begins_at
from retention.models import Disposition, Urgency
from retention.operations.contradictions import LONGEST_MONTHS, Problem
from retention.operations.proposing import Intent

if TYPE_CHECKING:
    QueuesField = forms.ModelMultipleChoiceField[Queue]
else:
    QueuesField = forms.ModelMultipleChoiceField


def date_field(label: Any, *, required: bool = True, help_text: Any = "") -> forms.DateField:
    """A day, as a browser picks it."""
    # A browser sends dates of date fields in this form, whatever the language.
    return forms.DateField(
        label=label,
        required=required,
        help_text=help_text,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        input_formats=["%Y-%m-%d"],
    )


def start_of(day: date | None, controller: Controller, *, days_later: int = 0) -> datetime | None:
    """When the day, or one so many days later, begins where the company is."""
    if day is None:
        return None
    return begins_at(day=day + timedelta(days=days_later), zone=ZoneInfo(controller.time_zone))


class WithProblems(forms.Form):
    """A form that shows what an operation refuses beside the fields it concerns."""

    def show(self, problems: Sequence[Problem]) -> None:
        """Put each problem beside its field, or above the form if it has no such field."""
        for problem in problems:
            field = problem.field if problem.field in self.fields else None
            self.add_error(field, str(problem.sentence))


class QueueChoices(QueuesField):
    """Queues by company, since two companies can call theirs alike."""

    def label_from_instance(self, obj: Queue) -> str:
        """Name, company, and whether it may hold health data."""
        label = f"{obj.name} ({obj.controller})"
        return f"{label} · {_('may hold health data')}" if obj.holds_health_data else label


class MatchersForm(WithProblems):
    """What rules and criteria alike say of the conversations they speak of."""

    kinds = forms.MultipleChoiceField(
        label=_("Kinds"),
        choices=Conversation.Kind.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None ticked: every kind."),
    )
    teams = forms.ModelMultipleChoiceField(
        label=_("Teams"),
        queryset=Team.objects.all(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None ticked: every team."),
    )
    queues = QueueChoices(
        label=_("Queues"),
        queryset=Queue.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None ticked: every queue."),
    )


class ReasonForm(WithProblems):
    """Why something is proposed or decided; the other of the two persons reads it."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("The second person reads it. Name nobody."),
    )


class IntentForm(ReasonForm):
    """From when what is proposed shall speak, and why."""

    wanted_from = date_field(
        _("In force from"),
        required=False,
        help_text=_("Empty: as soon as it may. What shortens waits for its cooling time anyway."),
    )
    urgency = forms.ChoiceField(
        label=_("Urgent"),
        required=False,
        choices=[("", _("No")), *Urgency.choices],
        help_text=_("Takes effect without cooling time, and is marked so for good."),
    )

    field_order: Sequence[str] | None = ("wanted_from", "urgency", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What is only simulated is not proposed yet.
        self.fields["reason"].required = "simulate" not in self.data

    def intent(self, controller: Controller) -> Intent:
        """What was filled in; a date begins at midnight in the company's zone."""
        said = self.cleaned_data
        return Intent(
            reason=said["reason"],
            wanted_from=start_of(said["wanted_from"], controller),
            urgency=said["urgency"],
        )


class LimitForm(IntentForm):
    """The shortest and the longest that a purpose allows at a company."""

    controller = forms.ModelChoiceField(label=_("Company"), queryset=Controller.objects.none())
    purpose = forms.ModelChoiceField(label=_("Purpose"), queryset=Purpose.objects.all())
    floor_months = forms.IntegerField(
        label=_("Floor, months"), required=False, min_value=0, max_value=LONGEST_MONTHS
    )
    ceiling_months = forms.IntegerField(
        label=_("Ceiling, months"), required=False, min_value=0, max_value=LONGEST_MONTHS
    )
    source = forms.CharField(
        label=_("Rests on"), max_length=300, help_text=_("The statute or decision it rests on.")
    )

    field_order = (
        *("controller", "purpose", "floor_months", "ceiling_months", "source"),
        *("wanted_from", "urgency", "reason"),
    )

    def __init__(self, *args: Any, controllers: Sequence[Controller], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        narrow_to(self.fields["controller"], controllers)


class MomentForm(forms.Form):
    """The time as of which something is shown; empty is now."""

    at = forms.DateTimeField(
        label=_("As it stood at"),
        required=False,
        widget=forms.DateTimeInput(
            attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S"
        ),
    )


class NoticeForm(WithProblems):
    """A version of a privacy notice, with the months that it states for each purpose."""

    controller = forms.ModelChoiceField(label=_("Company"), queryset=Controller.objects.none())
    version = forms.CharField(
        label=_("Version"),
        max_length=100,
        help_text=_("As the company and its phone systems call it."),
    )
    in_force_from = forms.DateField(
        label=_("In force from"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )

    def __init__(self, *args: Any, controllers: Sequence[Controller], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        narrow_to(self.fields["controller"], controllers)
        self.purposes = {f"months_{purpose.code}": purpose for purpose in Purpose.objects.all()}
        for name, purpose in self.purposes.items():
            self.fields[name] = forms.IntegerField(
                label=_("%(purpose)s, months") % {"purpose": purpose},
                required=False,
                min_value=1,
                max_value=LONGEST_MONTHS,
            )

    def in_force_at(self) -> datetime:
        """When the day begins at the company."""
        zone = ZoneInfo(self.cleaned_data["controller"].time_zone)
        return datetime.combine(self.cleaned_data["in_force_from"], time(), zone)

    def months(self) -> dict[Purpose, int]:
        """What the notice states; a purpose left empty is one that it does not name."""
        said = {purpose: self.cleaned_data[name] for name, purpose in self.purposes.items()}
        return {purpose: count for purpose, count in said.items() if count is not None}


def narrow_to(field: forms.Field, controllers: Sequence[Controller]) -> None:
    """Offer these companies alone; a single one is chosen already."""
    assert isinstance(field, forms.ModelChoiceField)
    field.queryset = Controller.objects.filter(pk__in=[one.pk for one in controllers])
    if len(controllers) == 1:
        field.initial = controllers[0]
        field.empty_label = None


class DispositionForm(forms.Form):
    """What to do, before its time, with something that waits for a decision, and why."""

    kind = forms.ChoiceField(
        label=_("What is to become of it"),
        choices=Disposition.Kind.choices,
        widget=forms.RadioSelect,
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("It stays as evidence: name nobody."),
    )
    subject_is_told = forms.BooleanField(label=_("The data subject is told of it"), required=False)

    def __init__(self, *args: Any, can_extend: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kind = self.fields["kind"]
        assert isinstance(kind, forms.ChoiceField)
        if not can_extend:
            kind.choices = [(Disposition.Kind.DESTROY.value, Disposition.Kind.DESTROY.label)]
