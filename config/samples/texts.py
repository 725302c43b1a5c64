"""What is said in the sample calls and written in the sample chats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

Speaker = Literal["agent", "customer"]

LANGUAGES = ("fi", "sv", "en")
_HEADING = re.compile(r"== (?P<slug>[a-z0-9-]+) \| (?P<topic>[a-z_]+) \| (?P<subject>.+)")
_SPEAKERS: dict[str, Speaker] = {"A": "agent", "C": "customer"}


@dataclass(frozen=True, slots=True)
class SampleText:
    """One invented conversation; a turn is who says it and what. "{agent}" stands for her name."""

    slug: str
    language: str
    topic: str
    subject: str
    turns: tuple[tuple[Speaker, str], ...]


@cache
def sample_texts(kind: Literal["calls", "chats"]) -> tuple[SampleText, ...]:
    """All of a kind, in the order of languages and files."""
    return tuple(text for language in LANGUAGES for text in _read(kind, language))


def _read(kind: str, language: str) -> list[SampleText]:
    source = files("config.samples").joinpath(f"texts/{kind}-{language}.txt")
    texts: list[SampleText] = []
    turns: list[tuple[Speaker, str]] = []
    for line in source.read_text(encoding="utf-8").splitlines():
        if heading := _HEADING.fullmatch(line):
            turns = []
            texts.append(
                SampleText(
                    slug=f"{heading['slug']}-{language}",
                    language=language,
                    topic=heading["topic"],
                    subject=heading["subject"],
                    turns=(),
                )
            )
        elif line.strip():
            letter, _, said = line.partition(": ")
            turns.append((_SPEAKERS[letter], said))
            texts[-1] = SampleText(
                slug=texts[-1].slug,
                language=language,
                topic=texts[-1].topic,
                subject=texts[-1].subject,
                turns=tuple(turns),
            )
    return texts
