"""The database grants: what each login role may do with each table."""

from __future__ import annotations

from collections import defaultdict

from config.documentation.markdown import heading, table
from config.grants import all_grants


def page() -> str:
    """Write the page."""
    text = heading(
        "Database grants",
        made_from="`config/grants.py` and the `grants.py` of each room",
        intro=(
            "`tallenne_owner` owns the tables, migrates, and is no process that serves anybody. "
            "The others log in and may do what stands here; `manage.py grant` takes away the rest. "
            "Columns in brackets: only these. Beat has no login."
        ),
    )
    for role, rows in all_grants().items():
        privileges: dict[str, list[str]] = defaultdict(list)
        for privilege, thing in rows:
            if privilege not in privileges[thing]:
                privileges[thing].append(privilege)
        text += f"\n## {role}\n\n" + table(
            ["on", "may"],
            ((f"`{_named(thing)}`", "; ".join(may)) for thing, may in sorted(privileges.items())),
        )
    return text


def _named(thing: str) -> str:
    kind, _space, name = thing.partition(" ")
    return name if kind == "TABLE" else f"{kind.lower()} {name}"
