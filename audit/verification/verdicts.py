"""What is found out about a log: a state, and the first faults with the rows they are in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from audit.events import Outcome

MOST_FAULTS = 20
# Found before they are brought into order.
_MOST_FOUND = 10_000


class State(StrEnum):
    """What is known of a log after it was checked."""

    INTACT = "intact"
    TAMPERED = "tampered"
    INCOMPLETE = "incomplete"  # it cannot be told: see the notes


OUTCOMES = {
    State.INTACT: Outcome.ALLOW,
    State.TAMPERED: Outcome.DENY,
    State.INCOMPLETE: Outcome.ERROR,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was sealed, and the row it is in as far as it is known."""

    what: str
    leaf_index: int | None = None
    event: str | None = None  # the event's id, or its row's while that is all there is
    is_span: bool = False  # it lies somewhere from that place on: no row is known

    def __str__(self) -> str:
        row = [
            f"place {self.leaf_index}" if self.leaf_index is not None else "",
            f"event {self.event}" if self.event else "",
        ]
        where = ", ".join(filter(None, row))
        return f"{where}: {self.what}" if where else self.what


@dataclass(frozen=True, slots=True)
class Attested:
    """How many heads somebody outside has seen, and the newest of them."""

    by: str
    heads: int
    size: int
    at: datetime  # by the clock out there

    def __str__(self) -> str:
        return (
            f"{self.by}: {self.heads} heads, the newest of {self.size} events at "
            f"{self.at:%Y-%m-%d %H:%M:%S} UTC"
        )


@dataclass(slots=True)
class Verdict:
    """What was found out about a log: see `State`. `faults` are the first ones, by place."""

    log: str
    events: int = 0
    size: int = 0
    root: str | None = None
    anchors: int = 0
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)  # SHA-256 of those relied on
    attested: dict[str, Attested] = field(default_factory=dict)  # by the witness's key
    is_complete: bool = True

    @property
    def state(self) -> State:
        """Whether it is intact."""
        if self.faults:
            return State.TAMPERED
        return State.INTACT if self.is_complete else State.INCOMPLETE

    def fault(self, what: str, leaf_index: int | None = None, event: object = None) -> None:
        """Note something that is wrong, with the row it is in if that is known."""
        self._add(Fault(what, leaf_index, str(event) if event is not None else None))

    def fault_from(self, first: int, what: str) -> None:
        """Note something that is wrong somewhere from a place on."""
        self._add(Fault(what, first, is_span=True))

    def cannot_tell(self, why: str) -> None:
        """Note something without which it is not known whether the log is intact."""
        self.is_complete = False
        self.notes.append(why)

    def _add(self, fault: Fault) -> None:
        if len(self.faults) < _MOST_FOUND:
            self.faults.append(fault)

    def sort(self) -> None:
        """Bring known rows first, by place; then what begins at a place; the first are kept."""
        self.faults.sort(
            key=lambda fault: (fault.leaf_index is None, fault.is_span, fault.leaf_index or 0)
        )
        del self.faults[MOST_FAULTS:]

    def as_json(self) -> dict[str, object]:
        """Give it as the command's answer."""
        return {
            "log": self.log,
            "state": self.state.value,
            "events": self.events,
            "size": self.size,
            "root": self.root,
            "anchors": self.anchors,
            "keys": self.keys,
            "attested": [
                {
                    "by": one.by,
                    "key": key,
                    "heads": one.heads,
                    "size": one.size,
                    "at": one.at.isoformat(),
                }
                for key, one in self.attested.items()
            ],
            "faults": [
                {"what": fault.what, "leaf_index": fault.leaf_index, "event": fault.event}
                for fault in self.faults
            ],
            "notes": self.notes,
        }
