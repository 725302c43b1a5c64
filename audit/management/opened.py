"""Lets a command work only on a database that no backup has brought back."""

from __future__ import annotations

from django.core.management.base import CommandError

from audit.checks import NotOpen, refuse_unless_open


def check_open() -> None:
    """Raises CommandError, exit code 1, with the reason and what to do."""
    try:
        refuse_unless_open()
    except NotOpen as closed:
        raise CommandError(str(closed), returncode=1) from closed
