"""Ways in by the browser: the list, a conversation, its sound, what waits in quarantine."""

from recordings.views.conversation import conversation
from recordings.views.listened import listened
from recordings.views.listing import conversations
from recordings.views.quarantine import quarantine
from recordings.views.sound import sound, waveform

__all__ = ["conversation", "conversations", "listened", "quarantine", "sound", "waveform"]
