"""Those outside who should have spoken of a log and did not: said in logs, and as incidents."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.db import transaction

from audit.events import EventType, Target, log_of
from audit.operations.events import append
from audit.operations.sealing import ACTOR

# Who was silent for so long needs a person.
PATIENCE = timedelta(hours=1)

logger = structlog.get_logger("tallenne.sealer")


@dataclass(slots=True)
class _Silence:
    since: datetime
    why: str = ""
    is_raised: bool = False


@dataclass(slots=True)
class Silences:
    """Who has been silent about which log since when; an incident once for each such time."""

    _known: dict[tuple[str, str], _Silence] = field(default_factory=dict)

    def note(
        self, *, log: str, who: str, kind: str, why: str, is_grave: bool, now: datetime
    ) -> None:
        """
        Say that somebody did not speak, and raise an incident: after an hour, or at once if grave.

        Raises `django.db.DatabaseError`.
        """
        silence = self._known.setdefault((log, who), _Silence(now))
        if why != silence.why:
            silence.why = why
            logger.warning("outside_word_missing", log=log, who=who, reason=why)
        if silence.is_raised or not (is_grave or now >= silence.since + PATIENCE):
            return
        logger.error("outside_word_needs_a_person", log=log, who=who, kind=kind, reason=why)
        with transaction.atomic(durable=True):
            append(
                event_type=EventType.INCIDENT_RAISED,
                actor=ACTOR,
                now=now,
                log=log_of(log),
                target=Target("log", log),
                facts={"kind": kind},
            )
        silence.is_raised = True

    def end(self, *, log: str, who: str) -> None:
        """Forget it: somebody has spoken."""
        self._known.pop((log, who), None)
