"""The documentation is what the code says, and its links lead somewhere."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError, call_command

from config.documentation import PAGES
from config.documentation.personal_data import fields_of
from config.documentation.rooms import ROOMS, contracts, rooms
from config.documentation.settings import FIXED, MEANINGS, variables
from config.documentation.states import MOVES, START, states_of
from config.personal_data import PERSONAL_DATA
from recordings.models import Conversation

ROOT = Path(settings.BASE_DIR)
READ = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


class TestGeneratedPages:
    def test_are_what_the_code_says(self):
        call_command("generate_docs", check=True)

    def test_are_the_same_whatever_the_language_of_the_day(self):
        from django.utils import translation

        with translation.override("fi"):
            call_command("generate_docs", check=True)

    def test_one_that_differs_is_named(self, tmp_path, monkeypatch):
        (tmp_path / "docs" / "reference").mkdir(parents=True)
        monkeypatch.setattr(settings, "BASE_DIR", tmp_path)
        monkeypatch.setattr("config.documentation.PAGES", {"states.md": lambda: "something else\n"})

        with pytest.raises(CommandError, match=r"states\.md differ"):
            call_command("generate_docs", check=True)

        assert not (tmp_path / "docs" / "reference" / "states.md").exists()

    def test_a_second_run_writes_nothing(self, tmp_path, monkeypatch):
        (tmp_path / "docs" / "reference").mkdir(parents=True)
        monkeypatch.setattr(settings, "BASE_DIR", tmp_path)
        monkeypatch.setattr("config.documentation.PAGES", {"one.md": lambda: "one\n"})
        call_command("generate_docs", stdout=io.StringIO())
        said = io.StringIO()

        call_command("generate_docs", stdout=said)

        assert said.getvalue() == "0 of 1 pages written anew.\n"

    def test_each_is_found_from_the_index(self):
        index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")

        assert [name for name in PAGES if f"reference/{name}" not in index] == []


class TestPersonalData:
    def test_every_model_declares_every_field(self):
        undeclared = {
            model._meta.label: sorted(fields_of(model) ^ set(declared.fields))
            for model in apps.get_models()
            if (declared := PERSONAL_DATA.get(model._meta.label)) is not None
            and fields_of(model) != set(declared.fields)
        }

        assert undeclared == {}

    def test_no_model_is_missing_and_none_is_made_up(self):
        assert {model._meta.label for model in apps.get_models()} == set(PERSONAL_DATA)


class TestSettings:
    def test_every_variable_has_a_meaning_and_none_is_made_up(self):
        assert {one.name for one in variables()} == set(MEANINGS)

    def test_what_is_fixed_is_not_read_from_the_environment(self):
        assert set(FIXED) & {one.name for one in variables()} == set()


class TestStates:
    def test_the_picture_shows_every_state_of_the_model(self):
        shown = {state for move in MOVES for state in (move.before, move.after)} - {START}

        assert shown == states_of()

    def test_it_begins_where_the_model_begins(self):
        first = next(move.after for move in MOVES if move.before == START)

        assert first == Conversation._meta.get_field("state").default


class TestRooms:
    def test_every_app_of_ours_is_in_the_contracts(self):
        apps_of_ours = {
            config.name for config in apps.get_app_configs() if Path(config.path).parent == ROOT
        }
        layers = next(each["layers"] for each in contracts() if each["type"] == "layers")

        assert apps_of_ours == set(rooms()) == set(layers) == set(ROOMS)


class TestLinks:
    @pytest.mark.parametrize("page", READ, ids=lambda page: page.relative_to(ROOT).as_posix())
    def test_lead_somewhere(self, page):
        targets = LINK.findall(page.read_text(encoding="utf-8"))
        broken = [
            target
            for target in targets
            if "://" not in target
            and not target.startswith("mailto:")
            and not (page.parent / target).exists()
        ]

        assert broken == []
