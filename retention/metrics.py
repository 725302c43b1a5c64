"""What monitoring reads, in the text format of Prometheus: counts and times, nothing personal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from audit.streaming.lag import lags
from retention.attention import Asked, look
from retention.timetable import task_ends

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(*, at: datetime) -> str:
    """
    Write all figures as they are at that time.

    Source: Prometheus, *Exposition formats*, text-based format 0.0.4.
    """
    return "".join(f"{line}\n" for line in _lines(at))


def _lines(at: datetime) -> Iterator[str]:
    found = look(Asked(at))
    yield from _heading("tallenne_attention", "Things that need a person, by kind.")
    for need in found:
        stuck = int(need.kind.is_stuck)
        yield f'tallenne_attention{{kind="{need.kind.code}",stuck="{stuck}"}} {need.found.count}'
    yield from _heading("tallenne_attention_age_seconds", "How long the oldest of them has waited.")
    for need in found:
        age = (at - need.found.oldest_at).total_seconds() if need.found.oldest_at else 0
        yield f'tallenne_attention_age_seconds{{kind="{need.kind.code}"}} {max(age, 0):.0f}'
    yield from _heading("tallenne_task_age_seconds", "Since a task of the timetable was done.")
    for task, (last, _interval) in task_ends(at=at).items():
        yield f'tallenne_task_age_seconds{{task="{task}"}} {(at - last).total_seconds():.0f}'
    streams = lags(now=at)
    yield from _heading("tallenne_stream_lag_seconds", "How long the audit log waits to be taken.")
    for lag in streams:
        said = f'{{destination="{lag.destination}"}} {lag.lag_seconds:.0f}'
        yield f"tallenne_stream_lag_seconds{said}"
    yield from _heading("tallenne_stream_behind", "Events of the audit log not taken yet.")
    for lag in streams:
        yield f'tallenne_stream_behind{{destination="{lag.destination}"}} {lag.behind}'


def _heading(name: str, words: str) -> Iterator[str]:
    yield f"# HELP {name} {words}"
    yield f"# TYPE {name} gauge"
