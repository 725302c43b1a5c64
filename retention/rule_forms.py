"""What a compliance officer fills in of a rule."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from django import forms
from django.forms.boundfield import BoundField
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import Controller, Purpose, Queue
from recordings.models import Conversation
from retention.drafts import Draft, draft_from
from retention.forms import IntentForm, MatchersForm, QueueChoices, narrow_to
from retention.models import RuleVersion
from retention.operations.contradictions import LONGEST_DAYS, LONGEST_MONTHS, LONGEST_SECONDS

DRAFTED = tuple(field.name for field in fields(Draft))
DETAILS = (*("directions", "shortest_seconds", "longest_seconds", "outcomes", "languages", "tags"),)
GROUPS: tuple[tuple[str | Promise, tuple[str, ...]], ...] = (
    (_("Which conversations"), ("kinds", "teams", "queues")),
    (_("Only some of these"), DETAILS),
    (_("How long"), ("is_exclusion", "keep_months", "keep_days", "trigger", "cap_months")),
    (_("On what it rests"), ("legal_basis", "statute", "article_9_condition")),
    (_("From when, and why"), ("wanted_from", "urgency", "reason")),
)


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that the page shows together, perhaps folded away."""

    title: str | Promise
    fields: Sequence[BoundField]
    is_folded: bool = False
    is_open: bool = False


class WordsField(forms.CharField):
    """Words separated by commas, each once."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=2000, **kwargs)

    def to_python(self, value: Any) -> Any:
        """Take the text apart."""
        words = (word.strip() for word in re.split(r"[,;\n]", super().to_python(value) or ""))
        return tuple(dict.fromkeys(word for word in words if word))

    def run_validators(self, value: Any) -> None:
        """Leave it to the rule, which says what words there can be."""

    def prepare_value(self, value: Any) -> Any:
        """Put a list together."""
        return ", ".join(value) if isinstance(value, list | tuple) else value


class TermsForm(MatchersForm):
    """What a version of a rule says; empty choices match every one."""

    directions = forms.MultipleChoiceField(
        label=_("Direction"),
        choices=Conversation.Direction.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None ticked: every direction, and unknown ones."),
    )
    shortest_seconds = forms.IntegerField(
        label=_("Shortest, seconds"), required=False, min_value=0, max_value=LONGEST_SECONDS
    )
    longest_seconds = forms.IntegerField(
        label=_("Longest, seconds"), required=False, min_value=0, max_value=LONGEST_SECONDS
    )
    outcomes = WordsField(
        label=_("Outcomes"), help_text=_("Separated by commas; empty: every one.")
    )
    languages = WordsField(
        label=_("Languages"), help_text=_("Such as fi, sv; sv means sv-FI too. Empty: every one.")
    )
    tags = WordsField(
        label=_("Tags"), help_text=_("Separated by commas; one of them is enough. Empty: any.")
    )
    is_exclusion = forms.BooleanField(
        label=_("Exclusion: never used for this purpose"),
        required=False,
        help_text=_(
            "It beats every rule for the purpose, but for what a floor demands. The times and the "
            "legal basis below then say nothing."
        ),
    )
    keep_months = forms.IntegerField(
        label=_("Keep, months"), min_value=0, max_value=LONGEST_MONTHS, initial=6
    )
    keep_days = forms.IntegerField(
        label=_("and days"), min_value=0, max_value=LONGEST_DAYS, initial=0
    )
    trigger = forms.ChoiceField(
        label=_("Counted from"),
        choices=RuleVersion.Trigger.choices,
        required=False,
        help_text=_("On the company's calendar."),
    )
    cap_months = forms.IntegerField(
        label=_("At most, months"),
        required=False,
        min_value=1,
        max_value=LONGEST_MONTHS,
        help_text=_(
            "Only for an event: from the end of the conversation, even if the event never comes."
        ),
    )
    legal_basis = forms.ChoiceField(
        label=_("Legal basis"),
        choices=[("", "—"), *RuleVersion.LegalBasis.choices],
        required=False,
    )
    statute = forms.CharField(
        label=_("Statute that demands it"),
        max_length=300,
        required=False,
        help_text=_("Without one, it lengthens nothing that was captured under a shorter notice."),
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
        said = {name: self.cleaned_data[name] for name in DRAFTED if name in self.fields}
        for name in ("teams", "queues"):
            said[name] = sorted(row.pk for row in said[name])
        said["trigger"] = said["trigger"] or RuleVersion.Trigger.ENDED_AT
        if said["is_exclusion"]:
            said |= {"keep_months": 0, "keep_days": 0, "legal_basis": "", "cap_months": None}
            said["trigger"] = RuleVersion.Trigger.ENDED_AT
        return draft_from(said)

    def groups(self) -> Iterator[Group]:
        """The fields as the page shows them: what few rules need is folded until it is used."""
        grouped = {name for _title, names in GROUPS for name in names}
        yield Group("", [field for field in self if field.name not in grouped])
        for title, names in GROUPS:
            fields = [self[name] for name in names]
            is_used = any(field.errors or field.value() for field in fields)
            yield Group(title, fields, is_folded=names is DETAILS, is_open=is_used)


class VersionForm(IntentForm, TermsForm):
    """A version that is proposed: what it says, from when and why."""

    field_order: Sequence[str] | None = None


class NewRuleForm(VersionForm):
    """A rule that is to be."""

    name = forms.CharField(label=_("Name"), max_length=200)
    controller = forms.ModelChoiceField(label=_("Company"), queryset=Controller.objects.none())
    purpose = forms.ModelChoiceField(label=_("Purpose"), queryset=Purpose.objects.all())

    field_order = ("name", "controller", "purpose")

    def __init__(self, *args: Any, controllers: Sequence[Controller], **kwargs: Any) -> None:
        super().__init__(*args, controllers=controllers, **kwargs)
        narrow_to(self.fields["controller"], controllers)


class ChangedRuleForm(VersionForm):
    """A further version of a rule; `based_on` is the one that was looked at."""

    based_on = forms.IntegerField(widget=forms.HiddenInput)

    @staticmethod
    def initial_of(version: RuleVersion) -> dict[str, Any]:
        """What the version says, to be changed."""
        return {
            **{name: getattr(version, name) for name in DRAFTED},
            "based_on": version.number,
        }
