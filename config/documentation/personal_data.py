"""The personal data of every model, field by field."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from django.apps import apps
from django.db.models import Model

from config.documentation.markdown import heading, quoted, table
from config.documentation.rooms import rooms
from config.personal_data import MEANINGS, PERSONAL_DATA, Category


def page() -> str:
    """Write the page."""
    text = heading(
        "Personal data",
        made_from="`config/personal_data.py`, which `make check` compares with the models",
        intro=(
            "For the register of processing and the data protection officer: whose data each field "
            "holds and what ends it. A model or field that is not declared fails the tests."
        ),
    )
    text += "\n" + table(
        ["category", "meaning"],
        ((f"**{category}**", meaning) for category, meaning in MEANINGS.items()),
    )
    ours = set(rooms())
    models = sorted(apps.get_models(), key=lambda model: model._meta.label)
    for title, wanted in (
        ("Our own", [model for model in models if model._meta.app_label in ours]),
        ("Of the libraries", [model for model in models if model._meta.app_label not in ours]),
    ):
        text += f"\n## {title}\n"
        for model in wanted:
            text += _model(model)
    return text


def fields_of(model: type[Model]) -> set[str]:
    """Give the names of the fields that a model stores."""
    meta = model._meta
    return {field.name for field in [*meta.concrete_fields, *meta.local_many_to_many]}


def _model(model: type[Model]) -> str:
    declared = PERSONAL_DATA[model._meta.label]
    by_category: dict[Category, list[str]] = defaultdict(list)
    for name, category in declared.fields.items():
        by_category[category].append(name)
    rows = [
        (category.value, quoted(by_category[category]))
        for category in Category
        if category in by_category
    ]
    return "".join(_lines(model, declared.ends, rows))


def _lines(model: type[Model], ends: str, rows: list[tuple[str, str]]) -> Iterator[str]:
    yield f"\n### {model._meta.label}\n\n"
    yield f"{ends[0].upper()}{ends[1:]}.\n\n"
    yield table(["category", "fields"], rows)
