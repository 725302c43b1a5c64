"""Every way content can leave, so that each law is tried on all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.urls import reverse

from recordings.models import Conversation, Dialog
from tests.factories import Centre, sound_of
from tests.harness.visitors import Answer, Visitor

# What the chat says and nothing else on a page does.
SPOKEN = "Kultainen lohikäärme nukkuu"


@dataclass(frozen=True, slots=True)
class Kept:
    """A call and a chat that one team has served."""

    call: Conversation
    chat: Conversation
    sound: Dialog


def kept(centre: Centre) -> Kept:
    """Capture both, for Claims at Vakka."""
    call = centre.call()
    return Kept(call, centre.chat(SPOKEN, "Niin nukkuu."), sound_of(call))


Way = Callable[[Visitor, Kept], Answer]


def listing(visitor: Visitor, _: Kept) -> Answer:
    """The list of conversations."""
    return visitor.get(reverse("recordings:conversations"))


def call_page(visitor: Visitor, kept: Kept) -> Answer:
    """The page of the call."""
    return visitor.get(reverse("recordings:conversation", args=[kept.call.pk]))


def chat_page(visitor: Visitor, kept: Kept) -> Answer:
    """The page of the chat, with what was written."""
    return visitor.get(reverse("recordings:conversation", args=[kept.chat.pk]))


def sound(visitor: Visitor, kept: Kept) -> Answer:
    """The first range of the sound."""
    return visitor.listen(kept.sound.pk, bytes_range="bytes=0-999")


def whole_sound(visitor: Visitor, kept: Kept) -> Answer:
    """The sound without a range."""
    return visitor.listen(kept.sound.pk, bytes_range=None)


def waveform(visitor: Visitor, kept: Kept) -> Answer:
    """The peaks."""
    return visitor.get(reverse("recordings:waveform", args=[kept.sound.pk]))


CONTENT: tuple[Way, ...] = (call_page, chat_page, sound, whole_sound, waveform)
