"""The retention app: how long conversations are kept, and how they are destroyed."""

from django.apps import AppConfig


class RetentionConfig(AppConfig):
    """Rules, matters, holds and purge runs."""

    name = "retention"
