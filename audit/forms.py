"""What is asked of the log on its page, checked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.bundles.copies import Format
from audit.events import EventType, Outcome, is_reference, is_uuid
from audit.presentation import OUTCOMES
from audit.queries import Filter
from audit.registry import REGISTRY


def _check_reference(text: str) -> None:
    # Names and addresses would end up in the page's own address: references only.
    if not is_uuid(text) and not is_reference(text):
        raise ValidationError(_("Give a reference as it stands in an event, not a name."))


class FilterForm(forms.Form):
    """Who, what, which object, from which day to which."""

    who = forms.CharField(
        label=_("Who"), required=False, max_length=160, validators=[_check_reference]
    )
    what = forms.ChoiceField(label=_("What"), required=False)
    outcome = forms.ChoiceField(
        label=_("Outcome"), required=False, choices=[("", _("Everything")), *OUTCOMES.items()]
    )
    about = forms.CharField(
        label=_("Object"), required=False, max_length=160, validators=[_check_reference]
    )
    from_date = forms.DateField(
        label=_("From"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    until_date = forms.DateField(
        label=_("To"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def __init__(self, data: Mapping[str, str] | None = None) -> None:
        super().__init__(data)
        what = self.fields["what"]
        assert isinstance(what, forms.ChoiceField)
        described = sorted(
            ((kind.value, str(rule.description)) for kind, rule in REGISTRY.items()),
            key=lambda choice: choice[1],
        )
        what.choices = [("", _("Everything")), *described]
        # A browser sends dates of date fields in this form, whatever the language.
        for name in ("from_date", "until_date"):
            field = self.fields[name]
            assert isinstance(field, forms.DateField)
            field.input_formats = ["%Y-%m-%d"]

    def clean(self) -> dict[str, object]:
        """Refuse a time that ends before it begins."""
        cleaned = super().clean() or {}
        first, last = cleaned.get("from_date"), cleaned.get("until_date")
        if first and last and last < first:
            self.add_error("until_date", _("The last day lies before the first."))
        return cleaned

    def as_query(self) -> str:
        """The filter as the page's address has it, without the log; empty if nothing is asked."""
        given = [(name, self.cleaned_data[name]) for name in FilterForm.base_fields]
        return urlencode([(name, str(value)) for name, value in given if value])

    def wanted(self, log: UUID | None) -> Filter:
        """The filter for this log; days are those of the current time zone, the last one whole."""
        given = self.cleaned_data
        return Filter(
            logs=[log],
            actor=given["who"] or None,
            event_type=EventType(given["what"]) if given["what"] else None,
            outcome=Outcome(given["outcome"]) if given["outcome"] else None,
            about=given["about"] or None,
            from_at=_start_of(given["from_date"]),
            until_at=_start_of(given["until_date"], days_later=1),
        )


class SearchNameForm(forms.Form):
    """What a saved search is called."""

    name = forms.CharField(label=_("Name of the search"), max_length=60)


class ExportForm(FilterForm):
    """What is to be exported, and how."""

    format = forms.ChoiceField(
        label=_("Format"), choices=[(each.value, each.value) for each in Format]
    )


def _start_of(day: date | None, *, days_later: int = 0) -> datetime | None:
    if day is None:
        return None
    try:
        later = day + timedelta(days=days_later)
    except OverflowError:
        return None
    return datetime.combine(later, time.min, tzinfo=timezone.get_current_timezone())
