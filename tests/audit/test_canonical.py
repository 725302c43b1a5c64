"""Canonical JSON equals RFC 8785 wherever it is allowed, and nothing else is."""

from __future__ import annotations

import json

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.canonical import DEEPEST, LARGEST_INTEGER, NotCanonical, dumps

KEYS = st.from_regex(r"[a-z0-9_]{1,32}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers(-LARGEST_INTEGER, LARGEST_INTEGER) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
)


def depth(value: object) -> int:
    members = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    )
    return 1 + max((depth(member) for member in members), default=0)


class TestDumps:
    @settings(max_examples=200, deadline=None)
    @given(st.dictionaries(KEYS, VALUES, max_size=6))
    def test_writes_what_rfc_8785_writes(self, value):
        if depth(value) > DEEPEST:
            with pytest.raises(NotCanonical):
                dumps(value)
            return

        written = dumps(value)

        assert written.encode() == rfc8785.dumps(value)
        assert json.loads(written) == value

    @pytest.mark.parametrize(
        "value",
        [
            {"a": 1.0},
            {"a": LARGEST_INTEGER + 1},
            {"a": -LARGEST_INTEGER - 1},
            {"A": 1},
            {"": 1},
            {"k" * 33: 1},
            {"ä": 1},
            {"a\n": 1},
            {1: 1},
            {"a": "\ud83d"},
            {"a": b"bytes"},
            {"a": {"b": [1, {"c": float("nan")}]}},
            {"a": (1, 2)},
        ],
    )
    def test_refuses_what_has_more_than_one_form(self, value):
        with pytest.raises(NotCanonical):
            dumps(value)
