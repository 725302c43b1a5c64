"""What an export is of, as its events and its manifest say it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from audit.bundles.copies import Format
from audit.events import Actor, EventType, Outcome, log_name, log_of
from audit.fact_forms import instant
from audit.queries import Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An export of one log that has been logged: what of it, and of which tree."""

    wanted: Filter
    form: Format
    actor: Actor
    now: datetime
    export: UUID  # the event by which it was logged
    size: int = 0  # of the tree; 0 until the event is sealed

    @property
    def log(self) -> str:
        """The log's name."""
        (log,) = self.wanted.logs
        return log_name(log)

    @property
    def query(self) -> dict[str, str]:
        """The filter, as the manifest says it."""
        wanted = self.wanted
        said = {
            "from": instant(wanted.from_at) if wanted.from_at else None,
            "until": instant(wanted.until_at) if wanted.until_at else None,
            "actor": wanted.actor,
            "type": wanted.event_type and wanted.event_type.value,
            "outcome": wanted.outcome.value if wanted.outcome else None,
            "about": wanted.about,
        }
        return {name: value for name, value in said.items() if value is not None}

    def as_json(self) -> dict[str, Any]:
        """Give it as what a later process can go on with."""
        return {
            "log": self.log,
            "query": self.query,
            "form": self.form.value,
            "now": instant(self.now),
            "export": str(self.export),
            "size": self.size,
        }

    @classmethod
    def from_json(cls, said: dict[str, Any], *, actor: Actor) -> Self:
        """Read it back."""
        query = said["query"]
        return cls(
            wanted=Filter(
                logs=[log_of(said["log"])],
                from_at=_instant(query.get("from")),
                until_at=_instant(query.get("until")),
                actor=query.get("actor"),
                event_type=EventType(query["type"]) if "type" in query else None,
                outcome=Outcome(query["outcome"]) if "outcome" in query else None,
                about=query.get("about"),
            ),
            form=Format(said["form"]),
            actor=actor,
            now=datetime.fromisoformat(said["now"]),
            export=UUID(said["export"]),
            size=said["size"],
        )

    def of_size(self, size: int) -> Self:
        """Give it with the size of its tree."""
        return replace(self, size=size)


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
