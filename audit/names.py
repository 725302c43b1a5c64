"""Names for the references in events, asked of whoever knows people: the log itself knows none."""

from collections.abc import Callable, Iterable
from typing import cast

from django.conf import settings
from django.utils.module_loading import import_string

Resolver = Callable[[Iterable[str]], dict[str, str]]


def names_of(references: Iterable[str]) -> dict[str, str]:
    """
    The names of those references that have one.

    Asks the function that the setting AUDIT_NAMES names (dotted path); without it there are none.
    """
    path = getattr(settings, "AUDIT_NAMES", None)
    if path is None:
        return {}
    return cast(Resolver, import_string(path))(set(references))
