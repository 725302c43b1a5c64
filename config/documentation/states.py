"""The states of a conversation and of a purge run, and what moves them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import models

from config.documentation.markdown import code, first_sentence, heading, paragraph, table
from recordings.models import Conversation
from recordings.operations import lifecycle
from recordings.operations.capture import capture
from retention.models import Destruction, Hold, PurgeRun
from retention.operations.purge import steps

START = "[*]"
OF_THE_KEY = """
`bring_back` works as long as the key exists. After `destroy_keys` nothing can read the content, and
the conversation stays withdrawn until every version of its objects is confirmed to be gone.
"""


@dataclass(frozen=True, slots=True)
class Move:
    """What takes a conversation from one state to another: a function that is in the code."""

    before: str
    after: str
    does: Callable[..., Any]

    @property
    def name(self) -> str:
        """Where it is."""
        return f"{self.does.__module__}.{self.does.__name__}"


S = Conversation.State
MOVES = (
    Move(START, S.KEPT, capture),
    Move(S.KEPT, S.WITHDRAWN, lifecycle.withdraw),
    Move(S.KEPT, S.WITHDRAWN, lifecycle.destroy_again),
    Move(S.WITHDRAWN, S.KEPT, lifecycle.bring_back),
    Move(S.WITHDRAWN, S.WITHDRAWN, lifecycle.destroy_keys),
    Move(S.WITHDRAWN, S.DESTROYED, lifecycle.conclude),
)
STEPS = (
    ("withdrawn_at", steps.withdraw),
    ("key_destroyed_at", steps.destroy_keys),
    ("ledger_key", steps.write_ledger),
    ("concluded_at", steps.conclude),
)


def page() -> str:
    """Write the page."""
    lines = ["stateDiagram-v2"]
    lines += [f"    {move.before} --> {move.after}: {move.does.__name__}" for move in MOVES]
    lines.append(f"    {S.DESTROYED} --> {START}: never; the residual record stays")
    moves = table(
        ["from", "to", "by", "what it does"],
        (
            (_state(move.before), _state(move.after), f"`{move.name}`", _says(move.does))
            for move in MOVES
        ),
    )
    steps_done = table(
        ["noted in", "step", "what it does"],
        ((f"`{field}`", f"`{step.__name__}`", _says(step)) for field, step in STEPS),
    )
    runs = table(
        ["state of a run", "meaning"],
        ((f"`{value}`", str(label)) for value, label in PurgeRun.State.choices),
    )
    refusals = table(
        ["table", "constraint"],
        (
            (f"`{model._meta.db_table}`", f"`{constraint.name}`")
            for model in (Conversation, Hold, Destruction)
            for constraint in model._meta.constraints
        ),
    )
    return (
        heading(
            "States",
            made_from="the models and operations of `recordings` and `retention`",
            intro=(
                "A conversation is kept, then withdrawn, then destroyed. What it is kept for ends "
                "earlier than that, purpose by purpose, without any change of state: see "
                "[retention](../explanation/retention.md)."
            ),
        )
        + f"\n{code(chr(10).join(lines), 'mermaid')}\n{moves}"
        + f"\n{paragraph(OF_THE_KEY)}\n"
        + f"\n## The steps of a destruction\n\nEach is safe to repeat.\n\n{steps_done}"
        + f"\n## Purge runs\n\n{runs}"
        + f"\n## What the database refuses\n\nBesides triggers, these constraints:\n\n{refusals}"
    )


def states_of(field: str = "state") -> set[str]:
    """Give the states that the model knows."""
    choices = Conversation._meta.get_field(field)
    assert isinstance(choices, models.CharField)
    return {str(value) for value, _label in choices.flatchoices}


def _state(name: str) -> str:
    return "–" if name == START else f"`{name}`"


def _says(does: Callable[..., Any]) -> str:
    return first_sentence(does.__doc__)
