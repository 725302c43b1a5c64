"""The composition root as an app, for its commands, templates and static files."""

from django.apps import AppConfig


class CompositionConfig(AppConfig):
    """Settings, pages' frame, sample contact centre."""

    name = "config"
