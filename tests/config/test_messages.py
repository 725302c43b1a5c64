"""The catalogs hold every text a person reads, translated, and the collector finds them all."""

from __future__ import annotations

from pathlib import Path

import polib
import pytest

from config.management.commands.messages import (
    TRANSLATED_INTO,
    Message,
    catalog_path,
    collect,
    faults,
    in_python,
    in_template,
    renew,
)

ROOT = Path(__file__).resolve().parents[2]


class TestInPython:
    def test_follows_the_name_a_function_was_imported_under(self):
        source = (
            "from django.utils.translation import gettext_lazy as _, ngettext\n"
            "a = _('One')\n"
            "b = ngettext('%(n)s day', '%(n)s days', 2)\n"
            "c = print('Not this')\n"
        )

        found = set(in_python(source))

        assert found == {Message("One"), Message("%(n)s day", plural="%(n)s days")}


class TestInTemplate:
    def test_finds_tags_blocks_and_filter_arguments(self):
        source = (
            '{% load i18n %}{% translate "One" %}{{ a|default:_("Two") }}'
            "{% blocktranslate count n=n trimmed %}\n {{ n }} day\n{% plural %} {{ n }} days\n"
            "{% endblocktranslate %}{% blocktranslate trimmed %}It's {{ x }}{% endblocktranslate %}"
        )

        found = set(in_template(source))

        assert found == {
            Message("One"),
            Message("Two"),
            Message("%(n)s day", plural="%(n)s days"),
            Message("It's %(x)s"),
        }


class TestFaults:
    def test_names_what_is_untranslated_fuzzy_and_wrongly_filled_in(self):
        messages = {Message("One"): ["a.py"], Message("Of %(a)s"): ["a.py"], Message("T"): ["a.py"]}
        catalog = renew(polib.POFile(), messages, "fi")
        catalog.find("Of %(a)s").msgstr = "%(b)s"
        catalog.find("T").msgstr = "t"
        catalog.find("T").flags.append("fuzzy")

        found = sorted(faults(catalog, messages))

        assert found == ["fuzzy: 'T'", "placeholders differ: 'Of %(a)s'", "untranslated: 'One'"]


class TestCatalogs:
    @pytest.mark.parametrize("language", TRANSLATED_INTO)
    def test_every_text_is_translated(self, language):
        catalog = polib.pofile(str(catalog_path(ROOT, language)))

        assert list(faults(catalog, collect(ROOT))) == []
