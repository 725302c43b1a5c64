"""The recordings app: conversations, their content and who may hear them."""

from django.apps import AppConfig


class RecordingsConfig(AppConfig):
    """Conversations, capture and playback."""

    name = "recordings"
