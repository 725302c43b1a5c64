"""The composition root as an app, for its commands, templates and static files."""

from django.apps import AppConfig


class CompositionConfig(AppConfig):
    """Settings, pages' frame, sample contact centre."""

    name = "config"

    def ready(self) -> None:
        """Make our Celery application the current one in every process that rings for work."""
        from config import celery  # noqa: F401
