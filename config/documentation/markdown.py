"""The little Markdown that the reference pages are made of."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 100


def heading(title: str, *, made_from: str, intro: str) -> str:
    """Begin a page: its title, where it comes from, and a paragraph."""
    return (
        f"# {title}\n\n"
        f"*Made by `make docs` from {made_from}. Do not edit: `make check` compares.*\n\n"
        f"{paragraph(intro)}\n"
    )


def paragraph(text: str) -> str:
    """Break a paragraph into lines, wherever it came from."""
    words = " ".join(text.split())
    return textwrap.fill(words, WIDTH, break_long_words=False, break_on_hyphens=False)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a table; a cell may hold Markdown, a vertical bar in it is escaped."""
    lines = [_row(titles), _row(["---"] * len(titles)), *(_row(row) for row in rows)]
    return "\n".join(lines) + "\n"


def code(text: str, language: str = "") -> str:
    """Give a block that is shown as it is."""
    return f"```{language}\n{text.strip()}\n```\n"


def quoted(words: Iterable[str]) -> str:
    """Give words as code, with commas."""
    return ", ".join(f"`{word}`" for word in words)


def first_sentence(docstring: str | None) -> str:
    """Give the first paragraph of a docstring on one line."""
    paragraph = (docstring or "").strip().split("\n\n")[0]
    return " ".join(paragraph.split())


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
