"""The reference pages that are made from the code; `manage.py generate_docs` writes them."""

from __future__ import annotations

from collections.abc import Callable

from config.documentation import commands, events, grants, personal_data, rooms, settings, states

# File name in docs/reference → what writes it. Each page depends on the code alone.
PAGES: dict[str, Callable[[], str]] = {
    "audit-events.md": events.page,
    "commands.md": commands.page,
    "database-grants.md": grants.page,
    "personal-data.md": personal_data.page,
    "rooms.md": rooms.page,
    "settings.md": settings.page,
    "states.md": states.page,
}
