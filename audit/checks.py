"""Refuses a database that could forget what it has confirmed."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from django.apps.config import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

SOUND_SETTINGS: dict[str, frozenset[str]] = {
    "fsync": frozenset({"on"}),
    "full_page_writes": frozenset({"on"}),
    # remote_apply waits for more than on does; the others confirm what a power cut takes away.
    "synchronous_commit": frozenset({"on", "remote_apply"}),
}


class UnsafeDatabase(Exception):
    """The database runs with settings under which a committed event can be lost."""


class NotOpen(Exception):
    """The database was restored from a backup, or may have been: nothing opens before."""


def refuse_unless_open() -> None:
    """
    Stop whoever would serve from a database that a backup has brought back.

    What the setting OPENED_BY names (dotted path) decides. Raises NotOpen with the reason.
    """
    cast(Callable[[], None], import_string(settings.OPENED_BY))()


def unsafe_settings(database: BaseDatabaseWrapper) -> dict[str, str]:
    """The settings, by name, whose value lets a power cut take committed events away."""
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name",
            [list(SOUND_SETTINGS)],
        )
        values = dict(cursor.fetchall())
    return {
        name: values[name] for name, sound in SOUND_SETTINGS.items() if values[name] not in sound
    }


def refuse_unsafe_database() -> None:
    """
    Stop a process from starting on a database that could lose committed events.

    Raises UnsafeDatabase naming the settings.
    """
    unsafe = unsafe_settings(connection)
    if unsafe:
        raise UnsafeDatabase(_sentence(unsafe))


@register(Tags.database)
def check_database_is_durable(
    *, app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Report each database asked about whose settings could lose committed events."""
    return [
        Error(_sentence(unsafe), obj=alias, id="audit.E001")
        for alias in databases or ()
        if (unsafe := unsafe_settings(connections[alias]))
    ]


def _sentence(unsafe: dict[str, str]) -> str:
    named = ", ".join(f"{name}={value}" for name, value in unsafe.items())
    return _(
        "PostgreSQL runs with %(settings)s: events it has confirmed could be lost. "
        "Switch fsync, full_page_writes and synchronous_commit on."
    ) % {"settings": named}
