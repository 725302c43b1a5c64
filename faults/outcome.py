"""What became of a fault."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether the promise was kept, and what was counted."""

    name: str
    is_kept: bool
    numbers: Mapping[str, float | int | str]

    def as_json(self) -> str:
        """Give the line as `make faults` prints it."""
        return json.dumps({"name": self.name, "kept": self.is_kept, **self.numbers})
