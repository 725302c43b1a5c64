"""Looks names up by their codes."""

from __future__ import annotations

from collections.abc import Mapping

from django import template

register = template.Library()


@register.filter
def of(names: Mapping[str, object], code: str) -> object:
    """The name that stands for the code, else the code itself."""
    return names.get(code, code)
