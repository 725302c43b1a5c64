"""What a compliance officer fills in about matters: their criteria, handlers, reviews and holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.models import Controller, Queue, Source, User
from retention.forms import (
    MatchersForm,
    WithProblems,
    date_field,
    narrow_to,
    start_of,
)
from retention.models import Matter
from retention.operations.criteria import Draft as CriterionDraft

MOST_AT_ONCE = 500


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
    review_date = date_field(_("Look at it again on"))

    def __init__(self, *args: Any, controllers: Sequence[Controller], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        narrow_to(self.fields["controller"], controllers)


class ReviewForm(WithProblems):
    """When a matter is looked at again the next time, and why it goes on."""

    next_date = date_field(_("Look at it again on"))
    reason = forms.CharField(
        label=_("Why it goes on"), widget=forms.Textarea, help_text=_("Name nobody.")
    )


class CriterionForm(MatchersForm):
    """What is to be held by what it is like; all that is said must match."""

    source = forms.ModelChoiceField(
        label=_("Source"), queryset=Source.objects.none(), required=False, empty_label=_("Every")
    )
    from_date = date_field(_("Ended on or after"), required=False)
    last_date = date_field(_("Ended on or before"), required=False)
    agent = forms.ModelChoiceField(
        label=_("Agent"),
        queryset=User.objects.none(),
        required=False,
        empty_label=_("Everybody"),
    )
    identifier_kind = forms.ChoiceField(
        label=_("Customer known by"),
        choices=[("tel", _("Telephone number")), ("mailto", _("E-mail address"))],
    )
    identifier = forms.CharField(
        label=_("Number or address"),
        required=False,
        max_length=200,
        help_text=_("Only a keyed hash of it is kept, and it is not shown again."),
    )
    customer_hash = forms.RegexField("^[0-9a-f]{64}$", required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, controller: Controller, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.controller = controller
        agents = User.objects.filter(login__isnull=False).order_by("full_name")
        for name, rows in (
            ("queues", Queue.objects.filter(controller=controller).select_related("controller")),
            ("source", Source.objects.filter(controller=controller)),
            ("agent", agents),
        ):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = rows

    def draft(self, *, customer_hash: bytes | None) -> CriterionDraft:
        """What was filled in; only of a form that is valid. Days are those of the company."""
        said = self.cleaned_data
        return CriterionDraft(
            kinds=tuple(said["kinds"]),
            teams=tuple(sorted(team.pk for team in said["teams"])),
            queues=tuple(sorted(queue.pk for queue in said["queues"])),
            source_id=said["source"].pk if said["source"] else None,
            ended_from=start_of(said["from_date"], self.controller),
            ended_until=start_of(said["last_date"], self.controller, days_later=1),
            agent=said["agent"].reference if said["agent"] else None,
            customer_hash=customer_hash,
        )


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
