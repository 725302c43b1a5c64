"""What a compliance officer fills in: rules, limits, matters, holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import Controller, Purpose, Queue, Team, User
from recordings.models import Conversation
from retention.models import Matter, RuleVersion
from retention.operations.contradictions import LONGEST_DAYS, LONGEST_MONTHS, Problem
from retention.operations.rules import Draft

if TYPE_CHECKING:
    QueuesField = forms.ModelMultipleChoiceField[Queue]
else:
    QueuesField = forms.ModelMultipleChoiceField

MOST_AT_ONCE = 500


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


class TermsForm(WithProblems):
    """What a version of a rule says; empty choices match every one."""

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
    keep_months = forms.IntegerField(
        label=_("Keep, months"), min_value=0, max_value=LONGEST_MONTHS, initial=6
    )
    keep_days = forms.IntegerField(
        label=_("and days"),
        min_value=0,
        max_value=LONGEST_DAYS,
        initial=0,
        help_text=_("Counted from the end of the conversation, on the company's calendar."),
    )
    legal_basis = forms.ChoiceField(
        label=_("Legal basis"), choices=[("", "—"), *RuleVersion.LegalBasis.choices]
    )
    article_9_condition = forms.CharField(
        label=_("Condition of Art. 9"),
        max_length=200,
        required=False,
        help_text=_("Without one, content that may hold health data is closed to this purpose."),
    )

    def __init__(self, *args: Any, controllers: Sequence[Controller], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        queues = self.fields["queues"]
        assert isinstance(queues, QueueChoices)
        queues.queryset = Queue.objects.filter(controller__in=controllers).select_related(
            "controller"
        )

    def draft(self) -> Draft:
        """What was filled in; only of a form that is valid."""
        said = self.cleaned_data
        return Draft(
            keep_months=said["keep_months"],
            keep_days=said["keep_days"],
            legal_basis=said["legal_basis"],
            kinds=tuple(said["kinds"]),
            teams=tuple(sorted(team.pk for team in said["teams"])),
            queues=tuple(sorted(queue.pk for queue in said["queues"])),
            article_9_condition=said["article_9_condition"].strip(),
        )


class NewRuleForm(TermsForm):
    """A rule that is to be."""

    name = forms.CharField(label=_("Name"), max_length=200)
    controller = forms.ModelChoiceField(label=_("Company"), queryset=Controller.objects.none())
    purpose = forms.ModelChoiceField(label=_("Purpose"), queryset=Purpose.objects.all())

    field_order = ("name", "controller", "purpose")

    def __init__(self, *args: Any, controllers: Sequence[Controller], **kwargs: Any) -> None:
        super().__init__(*args, controllers=controllers, **kwargs)
        _only(self.fields["controller"], controllers)


class ChangedRuleForm(TermsForm):
    """A further version of a rule; `based_on` is the one that was looked at."""

    based_on = forms.IntegerField(widget=forms.HiddenInput)

    @staticmethod
    def initial_of(version: RuleVersion) -> dict[str, Any]:
        """What the version says, to be changed."""
        return {
            "kinds": version.kinds,
            "teams": version.teams,
            "queues": version.queues,
            "keep_months": version.keep_months,
            "keep_days": version.keep_days,
            "legal_basis": version.legal_basis,
            "article_9_condition": version.article_9_condition,
            "based_on": version.number,
        }


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
        _only(self.fields["controller"], controllers)


class MomentForm(forms.Form):
    """The time as of which something is shown; empty is now."""

    at = forms.DateTimeField(
        label=_("As it stood at"),
        required=False,
        widget=forms.DateTimeInput(
            attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S"
        ),
    )


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
        _only(self.fields["controller"], controllers)


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


def _only(field: forms.Field, controllers: Sequence[Controller]) -> None:
    assert isinstance(field, forms.ModelChoiceField)
    field.queryset = Controller.objects.filter(pk__in=[one.pk for one in controllers])
    if len(controllers) == 1:
        field.initial = controllers[0]
        field.empty_label = None
