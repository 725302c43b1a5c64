"""The page of one call or chat."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils.formats import date_format, localize
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.http import SignedInRequest
from accounts.queries import controllers_for
from recordings.keyring import FileKeyring
from recordings.models import NO_END, Dialog, Segment
from recordings.objectstore import ObjectStore
from recordings.operations.access import Looker
from recordings.operations.reading import SeenConversation, SeenMessage, read_conversation
from recordings.queries import looks_at, segments_of, why_open
from recordings.views.looking import content_page

SPEEDS = ["0.75", "1", "1.25", "1.5", "1.75", "2"]
GAP_SHOWN_SECONDS = 60


@require_safe
@content_page
def conversation(request: SignedInRequest, looker: Looker, conversation_id: UUID) -> HttpResponse:
    """Show a call with its player, or a chat with its messages."""
    seen = read_conversation(
        looker=looker,
        conversation_id=conversation_id,
        store=ObjectStore.for_content(),
        keyring=FileKeyring.from_settings(),
    )
    segments = segments_of([conversation_id]).get(conversation_id, [])
    context = {
        **_about(seen, segments, looker),
        **_aside(seen, segments, looker),
        "uses_letter_keys": looker.user.uses_letter_keys,
    }
    if seen.conversation.kind == "chat":
        return render(request, "recordings/chat.html", {**context, "entries": _entries(seen)})
    return render(request, "recordings/call.html", {**context, "player": _player(seen, looker)})


def _about(seen: SeenConversation, segments: list[Segment], looker: Looker) -> dict[str, Any]:
    until = _end_of(seen)
    return {
        "conversation": seen.conversation,
        "list_url": f"{reverse('recordings:conversations')}?purpose={looker.purpose.code}",
        "team": next((segment.team.name for segment in segments if segment.team), ""),
        "agent": next((one.name for one in seen.parties if one.party.role == "agent"), ""),
        "purpose": str(looker.purpose),
        "until": until,
        "days_left": (until - looker.at).days if until else None,
    }


def _end_of(seen: SeenConversation) -> datetime | None:
    """When the reader's use of it ends, if that is known."""
    ends: datetime = seen.conversation.open_until  # type: ignore[attr-defined]
    return ends if ends < NO_END else None


def _player(seen: SeenConversation, looker: Looker) -> dict[str, Any] | None:
    dialog = next((one for one in seen.dialogs if one.kind == Dialog.Kind.RECORDING), None)
    if dialog is None:
        return None
    until = _end_of(seen)
    purpose = f"purpose={looker.purpose.code}"
    sound_url = reverse("recordings:sound", args=[dialog.pk])
    return {
        # The play id ties the events of one listening together.
        "stream_url": f"{sound_url}?{purpose}&play={uuid4()}",
        "peaks_url": f"{reverse('recordings:waveform', args=[dialog.pk])}?{purpose}",
        "duration_seconds": dialog.duration_seconds,
        "roles": dialog.channel_roles,
        "speeds": [(speed, f"{localize(Decimal(speed))}×") for speed in SPEEDS],
        "speed": f"{looker.user.playback_speed.normalize():f}",
        "skips_silence": looker.user.skips_silence,
        "ends_in_seconds": (until - looker.at).total_seconds() if until else None,
        "preferences_url": reverse("accounts:preferences"),
    }


def _aside(seen: SeenConversation, segments: list[Segment], looker: Looker) -> dict[str, Any]:
    looks = looks_at(conversation=seen.conversation)
    return {
        "why": _why(seen, looker),
        "heard": looks,
        "heard_count": sum(look["count"] for look in looks),
        "facts": _facts(seen, segments),
        "linked": [],
        "explain_url": _explain_url(seen, looker),
    }


def _why(seen: SeenConversation, looker: Looker) -> list[str]:
    use = why_open(
        conversation=seen.conversation, user=looker.user, purpose=looker.purpose, at=looker.at
    )
    if use is None:
        return []
    until = date_format(localtime(use.until_at), "SHORT_DATETIME_FORMAT")
    if use.only_for_id is not None:
        return [_("A matter that you handle holds this conversation.")]
    return [
        _("Your role and your team permission allow the purpose %(purpose)s.")
        % {"purpose": looker.purpose},
        _("A retention rule of %(company)s permits that purpose until %(until)s.")
        % {"company": seen.conversation.controller, "until": until},
        _("You have accepted the undertaking of confidentiality."),
    ]


def _explain_url(seen: SeenConversation, looker: Looker) -> str:
    if not controllers_for(user=looker.user, permission="retention.read", at=looker.at):
        return ""
    try:
        return reverse("retention:explain", args=[seen.conversation.pk])
    except NoReverseMatch:
        return ""


def _facts(seen: SeenConversation, segments: list[Segment]) -> list[dict[str, str]]:
    row = seen.conversation
    queue = next((segment.queue.name for segment in segments if segment.queue), "")
    dialog = next((one for one in seen.dialogs if one.kind == Dialog.Kind.RECORDING), None)
    facts = [
        (_("Company"), str(row.controller)),
        (_("Queue"), queue),
        (_("Direction"), row.get_direction_display() if row.direction else ""),
        (_("Customer"), seen.customer.name if seen.customer else ""),
        (_("Source"), str(row.source)),
        (_("Captured"), date_format(localtime(row.captured_at), "SHORT_DATETIME_FORMAT")),
        (
            _("Sound"),
            f"{dialog.codec}, {dialog.sample_rate} Hz, {dialog.channels} ch" if dialog else "",
        ),
    ]
    return [{"label": label, "value": value} for label, value in facts if value]


def _entries(seen: SeenConversation) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for message in seen.messages:
        if message.gap_seconds > GAP_SHOWN_SECONDS:
            entries.append({"gap_minutes": max(round(message.gap_seconds / 60), 1)})
        entries.append(_entry(message))
    return entries


def _entry(message: SeenMessage) -> dict[str, Any]:
    return {
        "role": message.party.party.role if message.party else "",
        "name": message.party.name if message.party else "",
        "at": message.at,
        "text": message.text,
        "is_edited": message.edited,
        "is_deleted": message.deleted,
    }
