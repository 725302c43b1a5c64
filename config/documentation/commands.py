"""The commands: what `manage.py COMMAND --help` says, in tables."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from typing import Any

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from config.documentation.markdown import code, heading, table
from config.documentation.rooms import rooms

# Commands that make the demo or the repository; everything else is for people who run Tallenne.
FOR_BUILDERS = {
    "generate_docs",
    "load_sample_centre",
    "messages",
    "prepare_demo",
    "set_up_sample_centre",
    "short_lived",
}


def names() -> list[str]:
    """Give the commands that are our own."""
    ours = set(rooms())
    return sorted(name for name, app in get_commands().items() if app in ours)


def page() -> str:
    """Write the page."""
    text = heading(
        "Commands",
        made_from="the commands themselves",
        intro=(
            "Run as `python manage.py COMMAND`. Beside the demo's servers, in `.data`, each "
            "command finds the environment of the role it needs by itself; elsewhere "
            "`DATABASE_URL` and the rest come from the environment."
        ),
    )
    ours = names()
    for title, wanted in (
        ("For who runs Tallenne", [name for name in ours if name not in FOR_BUILDERS]),
        ("For the demo and for who builds", [name for name in ours if name in FOR_BUILDERS]),
    ):
        text += f"\n## {title}\n"
        for name in wanted:
            text += _command(name)
    return text


def _command(name: str) -> str:
    command = _loaded(name)
    parser = command.create_parser("manage.py", name)
    text = f"\n### {name}\n\n{command.help}\n"
    text += _arguments(parser)
    if parser.epilog:
        text += "\n" + code(parser.epilog)
    for deed, help_text, below in _deeds(parser):
        text += f"\n#### {name} {deed}\n\n{help_text}\n"
        text += _arguments(below)
        if below.epilog:
            text += "\n" + code(below.epilog)
    return text


def _loaded(name: str) -> BaseCommand:
    app = get_commands()[name]
    importlib.import_module(f"{app}.management.commands.{name}")
    return load_command_class(str(app), name)


def _arguments(parser: argparse.ArgumentParser) -> str:
    """Give the arguments that are the command's own, without those every command has."""
    common = _options_of(BaseCommand().create_parser("manage.py", "any"))
    rows = [
        (_shown(action), "yes" if _is_required(action) else "", _meaning(action))
        for action in parser._actions
        if not isinstance(action, argparse._SubParsersAction)
        and not (set(action.option_strings) & common)
    ]
    return "\n" + table(["argument", "required", "meaning"], rows) if rows else ""


def _options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def _deeds(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {each.dest: each.help or "" for each in action._choices_actions}
            for deed, below in action.choices.items():
                yield deed, helps.get(deed, "").capitalize() + ".", below


def _shown(action: argparse.Action) -> str:
    value = _value(action)
    if not action.option_strings:
        return f"`{value} …`" if action.nargs in {"+", "*"} else f"`{value}`"
    option = action.option_strings[-1]
    return f"`{option}`" if action.nargs == 0 else f"`{option} {value}`"


def _value(action: argparse.Action) -> str:
    if action.choices is not None:
        return "|".join(str(choice) for choice in action.choices)
    named: Any = action.metavar or action.dest.upper()
    return str(named)


def _is_required(action: argparse.Action) -> bool:
    return action.required and action.nargs != "*"


def _meaning(action: argparse.Action) -> str:
    words = action.help or ""
    is_told = "default" in words or action.default in (None, False, [])
    return words if is_told else f"{words} (default: {action.default})".strip()
