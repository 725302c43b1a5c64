"""What somebody wants to ask of a log again."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class SavedSearch(models.Model):
    """A filter of a log's page that one person has given a name; nobody else sees it."""

    id = models.UUIDField(primary_key=True)
    owner = models.UUIDField()  # her random reference, as events have it
    log = models.TextField()
    name = models.CharField(max_length=60)
    query = models.TextField()  # the filter as the page's address has it, without the log
    created_at = models.DateTimeField()

    class Meta:
        db_table = "audit_saved_search"
        verbose_name = _("saved search")
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "log", "name"], name="audit_saved_search_name_once"
            )
        ]

    def __str__(self) -> str:
        return str(self.id)
