"""What a compliance officer fills in besides rules: limits, notices, matters, holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, time
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import Controller, Purpose, User
from retention.models import Disposition, Matter
from retention.operations.contradictions import LONGEST_MONTHS, Problem

MOST_AT_ONCE = 500


class WithProblems(forms.Form):
    """A form that shows what an operation refuses beside the fields it concerns."""

    def show(self, problems: Sequence[Problem]) -> None:
        """Put each problem beside its field, or above the form if it has no such field."""
        for problem in problems:
            field = problem.field if problem.field in self.fields else None
            self.add_error(field, str(problem.sentence))


class LimitForm(WithProblems):
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

    def __init__(self, *args: Any, controllers: Sequence[Controller], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        narrow_to(self.fields["controller"], controllers)


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


class MatterForm(WithProblems):
    """A matter that is to be opened."""

    controller = forms.ModelChoiceField(label=_("Company"), queryset=Controller.objects.none())
    code = forms.SlugField(
        label=_("Code"), max_length=50, help_text=_("Short and without personal data.")
    )
    name = forms.CharField(label=_("Name"), max_length=200)
    reason = forms.CharField(
        label=_("Reason"), widget=forms.Textarea, help_text=_("Why destruction is barred.")
    )

    def __init__(self, *args: Any, controllers: Sequence[Controller], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        narrow_to(self.fields["controller"], controllers)


class HandlerForm(WithProblems):
    """A person to be named as a handler of the matter."""

    handler = forms.ModelChoiceField(
        label=_("Case handler"),
        queryset=User.objects.none(),
        help_text=_("She alone hears what the matter holds."),
    )

    def __init__(self, *args: Any, candidates: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["handler"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = candidates


class PlaceForm(WithProblems):
    """Conversations to be held for a matter that is known."""

    conversations = forms.CharField(
        label=_("Ids of conversations"),
        widget=forms.Textarea,
        help_text=_("One a line."),
    )

    def clean_conversations(self) -> list[UUID]:
        """Read the ids, each once."""
        found = []
        for word in re.split(r"[\s,;]+", self.cleaned_data["conversations"].strip()):
            try:
                found.append(UUID(word))
            except ValueError as error:
                raise forms.ValidationError(
                    _("One of the lines is no id of a conversation.")
                ) from error
        if len(found) > MOST_AT_ONCE:
            raise forms.ValidationError(
                _("At most %(most)d conversations at once.") % {"most": MOST_AT_ONCE}
            )
        return list(dict.fromkeys(found))


class PlaceOnForm(WithProblems):
    """The matter for which one conversation is to be held."""

    matter = forms.ModelChoiceField(label=_("Matter"), queryset=Matter.objects.none())

    def __init__(self, *args: Any, matters: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["matter"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = matters


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
