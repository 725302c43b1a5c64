"""The rooms of the house: each app is in every import contract, and no module grows too large."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from django.conf import settings

from tests.harness.session import ROOT

LONGEST_MODULE_LINES = 400
# It is passed on as one file: see docs/decisions/0008-sealing.md.
ONE_FILE = "verify.py"
# Their names say nothing of what they hold.
NAMELESS = {"utils.py", "helpers.py", "common.py", "misc.py"}


def contracts() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]


def packages() -> set[str]:
    """Every top-level package of the product."""
    return {
        path.parent.name
        for path in ROOT.glob("*/__init__.py")
        if path.parent.name not in ("tests", "bench", "faults")
    }


def modules() -> list[Path]:
    found = [path for name in packages() for path in (ROOT / name).rglob("*.py")]
    return [path for path in found if "migrations" not in path.parts]


def test_every_app_of_ours_is_installed():
    assert packages() <= set(settings.INSTALLED_APPS)


def test_every_app_is_under_the_import_contracts():
    assert set(contracts()["root_packages"]) == packages()
    (layers,) = [one for one in contracts()["contracts"] if one["type"] == "layers"]
    assert set(layers["layers"]) == packages()


def test_ways_in_of_every_app_are_forbidden_to_others():
    forbidden = {
        module
        for contract in contracts()["contracts"]
        for module in contract.get("forbidden_modules", [])
    }
    ways_in = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for name in packages() - {"config"}
        for path in [
            *(ROOT / name).glob("views.py"),
            *(ROOT / name).glob("views/__init__.py"),
            *(ROOT / name).glob("tasks.py"),
        ]
    }

    assert ways_in <= forbidden


def test_modules_are_short_and_named_for_what_they_hold():
    wrong = []
    for path in modules():
        text = path.read_text()
        if path.name in NAMELESS:
            wrong.append(f"{path}: its name does not say what it holds")
        if text.count("\n") > LONGEST_MODULE_LINES and path.name != ONE_FILE:
            wrong.append(f"{path}: longer than {LONGEST_MODULE_LINES} lines")
        if text and not text.startswith(('"""', "#!")):
            wrong.append(f"{path}: does not open with what it is for")

    assert wrong == []


def test_no_path_of_a_machine_is_in_the_sources():
    for path in modules():
        assert not re.search(r"/work/(main|shared)|/tmp/w\b", path.read_text()), path
