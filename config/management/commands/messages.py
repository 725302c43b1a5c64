"""Collects the texts to translate, compiles the catalogs, and checks that none is left behind.

Needs nothing but Python and polib (requirements-dev.txt), so that it runs where GNU gettext is not.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polib
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation.template import templatize

APPS = ("config", "retention", "recordings", "accounts", "audit")
TRANSLATED_INTO = ("fi", "sv")
FUNCTIONS = {
    "gettext": "gettext",
    "gettext_lazy": "gettext",
    "gettext_noop": "gettext",
    "ngettext": "ngettext",
    "ngettext_lazy": "ngettext",
    "pgettext": "pgettext",
    "pgettext_lazy": "pgettext",
}
STRING = r"""u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
IN_TEMPLATE = re.compile(
    rf"\b(?P<plural>ngettext)\({STRING},\s*{STRING}"
    rf"|\b(?P<context>pgettext)\({STRING},\s*{STRING}"
    rf"|(?<!\w)(?:gettext|_)\({STRING}\)",
    re.DOTALL,
)
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%%|\{\w+\}")


@dataclass(frozen=True, slots=True)
class Message:
    """One text to translate; `plural` and `context` are empty where there are none."""

    text: str
    plural: str = ""
    context: str = ""


def in_python(source: str) -> Iterator[Message]:
    """Find the messages of a module, whatever it calls Django's functions."""
    tree = ast.parse(source)
    names = {
        alias.asname or alias.name: FUNCTIONS[alias.name]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
        for alias in node.names
        if alias.name in FUNCTIONS
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        function = names.get(node.func.id)
        texts = [
            argument.value
            for argument in node.args
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        ]
        if function == "gettext" and texts:
            yield Message(texts[0])
        elif function == "ngettext" and len(texts) > 1:
            yield Message(texts[0], plural=texts[1])
        elif function == "pgettext" and len(texts) > 1:
            yield Message(texts[1], context=texts[0])


def in_template(source: str) -> Iterator[Message]:
    """Find the messages of a template, through Django's own reading of it."""
    for match in IN_TEMPLATE.finditer(templatize(source)):
        texts = [ast.literal_eval(text) for text in match.groups()[1:] if _is_string(text)]
        if match["plural"]:
            yield Message(texts[0], plural=texts[1])
        elif match["context"]:
            yield Message(texts[1], context=texts[0])
        else:
            yield Message(texts[0])


def _is_string(text: str | None) -> bool:
    return text is not None and text[:1] in "'\""


def collect(root: Path) -> dict[Message, list[str]]:
    """Find every message of the apps, with the files it stands in."""
    found: dict[Message, list[str]] = {}
    for app in APPS:
        for path in sorted((root / app).rglob("*")):
            if path.suffix == ".py":
                messages = in_python(path.read_text(encoding="utf-8"))
            elif path.suffix in {".html", ".txt"} and "templates" in path.parts:
                messages = in_template(path.read_text(encoding="utf-8"))
            else:
                continue
            place = path.relative_to(root).as_posix()
            for message in messages:
                places = found.setdefault(message, [])
                if place not in places:
                    places.append(place)
    return found


def catalog_path(root: Path, language: str) -> Path:
    """Say where the catalog of a language lies."""
    return root / "locale" / language / "LC_MESSAGES" / "django.po"


def renew(catalog: polib.POFile, messages: dict[Message, list[str]], language: str) -> polib.POFile:
    """Make the catalog of exactly these messages, with the translations it already has."""
    known = {(entry.msgid, entry.msgctxt or ""): entry for entry in catalog}
    fresh = polib.POFile(wrapwidth=0)
    fresh.metadata = {
        "Project-Id-Version": "tallenne",
        "Language": language,
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
        "Plural-Forms": "nplurals=2; plural=(n != 1);",
    }
    for message, places in sorted(messages.items(), key=lambda item: (item[1][0], item[0].text)):
        old = known.get((message.text, message.context))
        entry = polib.POEntry(
            msgid=message.text,
            msgctxt=message.context or None,
            occurrences=[(place, "") for place in places],
        )
        if message.plural:
            entry.msgid_plural = message.plural
            entry.msgstr_plural = dict(old.msgstr_plural) if old and old.msgstr_plural else {}
            for form in (0, 1):
                entry.msgstr_plural.setdefault(form, "")
        elif old:
            entry.msgstr = old.msgstr
        if "%(" in message.text + message.plural:
            entry.flags.append("python-format")
        fresh.append(entry)
    return fresh


def faults(catalog: polib.POFile, messages: dict[Message, list[str]]) -> Iterator[str]:
    """Say in one sentence each what a catalog lacks, or holds wrongly."""
    known = {(entry.msgid, entry.msgctxt or "", entry.msgid_plural or "") for entry in catalog}
    wanted = {(message.text, message.context, message.plural) for message in messages}
    for text, _context, _plural in sorted(wanted - known):
        yield f"not collected: {text!r}"
    for text, _context, _plural in sorted(known - wanted):
        yield f"no longer used: {text!r}"
    for entry in catalog:
        forms = [entry.msgstr_plural.get(form, "") for form in (0, 1)]
        texts = forms if entry.msgid_plural else [entry.msgstr]
        if entry.fuzzy:
            yield f"fuzzy: {entry.msgid!r}"
        if not all(texts):
            yield f"untranslated: {entry.msgid!r}"
            continue
        expected = set(PLACEHOLDER.findall(entry.msgid_plural or entry.msgid))
        for text in texts[-1:]:
            if set(PLACEHOLDER.findall(text)) != expected:
                yield f"placeholders differ: {entry.msgid!r}"


class Command(BaseCommand):
    """See the module."""

    help = (
        "Collect the texts to translate, compile the catalogs, or check them (exit 1: something is"
        " untranslated). Example: manage.py messages check"
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the one argument."""
        parser.add_argument("deed", choices=["collect", "compile", "check"])

    def handle(self, *args: Any, deed: str, **options: Any) -> None:
        """Do the deed for every language."""
        root = Path(settings.BASE_DIR)
        messages = collect(root)
        found = 0
        for language in TRANSLATED_INTO:
            path = catalog_path(root, language)
            catalog = polib.pofile(str(path), wrapwidth=0) if path.exists() else polib.POFile()
            if deed == "collect":
                path.parent.mkdir(parents=True, exist_ok=True)
                renew(catalog, messages, language).save(str(path))
                self.stdout.write(f"{path.relative_to(root)}: {len(messages)} messages")
            elif deed == "compile":
                catalog.save_as_mofile(str(path.with_suffix(".mo")))
            else:
                for fault in faults(catalog, messages):
                    found += 1
                    self.stderr.write(f"{language}: {fault}")
        if found:
            raise CommandError(f"{found} faults in the catalogs: run make messages and translate.")
