"""The audit app's place in Django."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AuditConfig(AppConfig):
    """Registers the app and its check of the database's durability settings."""

    name = "audit"
    verbose_name = _("Audit log")

    def ready(self) -> None:
        """Register the system check."""
        from audit import checks  # noqa: F401  (importing it registers the check)
