"""The list of what one may hear, newest first."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import make_aware
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.http import SignedInRequest
from accounts.models import TeamPermission
from accounts.queries import purposes_for, team_permissions_of
from recordings.models import NO_END, Conversation
from recordings.operations.access import Looker
from recordings.operations.listing import Listing, list_conversations
from recordings.paging import Cursor
from recordings.queries import COUNT_CAP, Filters
from recordings.views.looking import content_page


class FilterForm(forms.Form):
    """What the list can be narrowed to."""

    from_date = forms.DateField(
        label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    until_date = forms.DateField(
        label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    team = forms.ChoiceField(label=_("Team"), required=False)
    kind = forms.ChoiceField(
        label=_("Channel"),
        required=False,
        choices=[("", _("Calls and chats")), *Conversation.Kind.choices],
    )
    language = forms.ChoiceField(
        label=_("Language"), required=False, choices=[("", _("All")), *settings.LANGUAGES]
    )
    ends_days = forms.ChoiceField(
        label=_("Goes away"),
        required=False,
        choices=[("", _("Whenever")), ("1", _("Within a day")), ("7", _("Within 7 days"))],
    )

    def __init__(self, *args: Any, teams: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        team = self.fields["team"]
        assert isinstance(team, forms.ChoiceField)
        team.choices = [("", _("All")), *teams]

    def filters(self, *, at: datetime) -> Filters:
        """Read the form; what is not valid narrows nothing and stands marked on the page."""
        if not self.is_valid():
            return Filters()
        said = self.cleaned_data
        return Filters(
            from_at=_midnight(said["from_date"]),
            until_at=_midnight(said["until_date"], days=1),
            team_id=UUID(said["team"]) if said["team"] else None,
            kind=said["kind"],
            language=said["language"],
            ends_before=at + timedelta(days=int(said["ends_days"])) if said["ends_days"] else None,
        )

    def in_words(self) -> str:
        """Name what the list is narrowed to, for the page that finds nothing."""
        if not self.is_valid():
            return ""
        return ", ".join(
            f"{field.label}: {_said(field.field, value)}"
            for field in self
            if (value := self.cleaned_data.get(field.name))
        )


def _said(field: forms.Field, value: Any) -> str:
    if isinstance(field, forms.ChoiceField):
        return next((str(label) for key, label in field.widget.choices if key == value), value)
    return date_format(value, "SHORT_DATE_FORMAT")


def _midnight(date: Any, *, days: int = 0) -> datetime | None:
    if date is None:
        return None
    try:
        return make_aware(datetime.combine(date + timedelta(days=days), time.min))
    except OverflowError:
        return None  # beyond the calendar: nothing is narrowed


@require_safe
@content_page
def conversations(request: SignedInRequest, looker: Looker) -> HttpResponse:
    """Show one page of the conversations that are open to me now."""
    permissions = team_permissions_of(user=looker.user, purpose=looker.purpose, at=looker.at)
    form = FilterForm(request.GET or None, teams=_teams(permissions))
    listing = list_conversations(
        looker=looker,
        filters=form.filters(at=looker.at),
        cursor=Cursor.parse(request.GET.get("cursor", "")),
    )
    return render(
        request,
        "recordings/conversation_list.html",
        {
            "form": form,
            "rows": [_row(listing, row, looker) for row in listing.page.rows],
            "count": min(listing.count, COUNT_CAP),
            "count_is_capped": listing.count > COUNT_CAP,
            "outside_count": listing.outside_count,
            "team_names": [name for _id, name in _teams(permissions)],
            "scope_until": min((row.until_at for row in permissions), default=None),
            "filter_text": form.in_words(),
            "newer_url": _url(request.GET, listing.page.newer),
            "older_url": _url(request.GET, listing.page.older),
            "purpose": looker.purpose,
            "purposes": purposes_for(user=looker.user, at=looker.at),
            "uses_letter_keys": looker.user.uses_letter_keys,
            "preferences_url": reverse("accounts:preferences"),
        },
    )


def _teams(permissions: list[TeamPermission]) -> list[tuple[str, str]]:
    names = {str(row.content_object_id): row.content_object.name for row in permissions}
    return list(names.items())


def _row(listing: Listing, row: Conversation, looker: Looker) -> dict[str, Any]:
    segments = listing.segments.get(row.pk, [])
    ends = row.open_until  # type: ignore[attr-defined]
    until: datetime | None = ends if ends < NO_END else None
    return {
        "conversation": row,
        "url": _conversation_url(row, looker),
        "team": next((segment.team.name for segment in segments if segment.team), ""),
        "agent": next(
            (
                segment.agent.user.full_name
                for segment in segments
                if segment.agent and segment.agent.user
            ),
            "",
        ),
        "until": until,
        "days_left": (until - looker.at).days if until else None,
    }


def _conversation_url(row: Conversation, looker: Looker) -> str:
    address = reverse("recordings:conversation", args=[row.pk])
    return f"{address}?purpose={looker.purpose.code}"


def _url(query: QueryDict, cursor: Cursor | None) -> str:
    if cursor is None:
        return ""
    changed = query.copy()
    changed["cursor"] = str(cursor)
    return f"?{changed.urlencode()}"
