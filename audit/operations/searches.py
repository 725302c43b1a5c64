"""Saves what somebody wants to ask of a log again. Nothing is looked at, so nothing is logged."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.utils.translation import gettext_lazy as _

from audit.events import log_name
from audit.models import SavedSearch

MOST_SEARCHES = 50
_LOCK = 471_301


class SearchNotSaved(Exception):
    """The search was not saved, for a reason fit to show."""


@transaction.atomic
def save_search(*, owner: UUID, log: UUID | None, name: str, query: str, now: datetime) -> UUID:
    """
    Save a filter of a log's page, as its address has it, under a name; returns its id.

    Raises SearchNotSaved if she has one of that name, or MOST_SEARCHES in this log.
    """
    with connection.cursor() as cursor:
        # Two of hers at once would both find room for one more.
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, str(owner)])
    hers = SavedSearch.objects.filter(owner=owner, log=log_name(log))
    if hers.filter(name=name).exists():
        raise SearchNotSaved(_("You have saved a search of that name already."))
    if hers.count() >= MOST_SEARCHES:
        raise SearchNotSaved(
            _("You have saved %(most)s searches in this log. Delete one first.")
            % {"most": MOST_SEARCHES}
        )
    search = uuid4()
    SavedSearch.objects.create(
        id=search, owner=owner, log=log_name(log), name=name, query=query, created_at=now
    )
    return search


def delete_search(*, owner: UUID, log: UUID | None, search: UUID) -> bool:
    """Delete a search of hers; returns whether there was one."""
    found = SavedSearch.objects.filter(pk=search, owner=owner, log=log_name(log))
    return bool(found.delete()[0])
