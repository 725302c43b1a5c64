"""The rooms of the house and the import contracts that hold them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from config.documentation.markdown import heading, quoted, table

# What each room holds; a test fails when a room is missing.
ROOMS: dict[str, str] = {
    "config": "the composition root: settings, addresses, timetable, local servers, sample centre",
    "retention": "rules, matters and holds, purge runs, destructions and their proof",
    "recordings": "conversations and their content: capture, encryption, access, playback",
    "accounts": "companies, teams, people, roles, undertakings, sources",
    "audit": "what happened: events, their export and their pages; knows no other room",
}


def contracts() -> list[Mapping[str, Any]]:
    """Give the contracts as pyproject.toml states them."""
    return list(_linter()["contracts"])


def rooms() -> list[str]:
    """Give the packages that the contracts speak of, from the top down."""
    return list(_linter()["root_packages"])


def page() -> str:
    """Write the page."""
    text = heading(
        "Rooms and import contracts",
        made_from="`pyproject.toml`",
        intro=(
            "Each room imports only what stands below it. `lint-imports` (in `make check`) holds "
            "the contracts; [decision 1](../decisions/0001-rooms-and-layers.md) says why."
        ),
    )
    text += "\n" + table(["room", "holds"], ((f"`{name}`", ROOMS[name]) for name in rooms()))
    text += "\n## Contracts\n\n"
    text += table(["contract", "type", "of"], (_contract(each) for each in contracts()))
    return text


def _linter() -> Mapping[str, Any]:
    project = tomllib.loads((_root() / "pyproject.toml").read_text(encoding="utf-8"))
    linter: Mapping[str, Any] = project["tool"]["importlinter"]
    return linter


def _root() -> Path:
    return Path(settings.BASE_DIR)


def _contract(contract: Mapping[str, Any]) -> tuple[str, str, str]:
    if contract["type"] == "layers":
        return contract["name"], "layers", " > ".join(f"`{one}`" for one in contract["layers"])
    return (
        contract["name"],
        contract["type"],
        quoted(contract["source_modules"])
        + " do not import "
        + quoted(contract["forbidden_modules"]),
    )
