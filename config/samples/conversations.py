"""Writes the sample conversations as manifests, spread over the year before a given time."""

from __future__ import annotations

import calendar
import os
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from config.samples.centre import ASSETS, CUSTOMERS, LIFE, NOTICE, SERVICES, SOURCES, TEAMS
from config.samples.texts import SampleText, sample_texts

CALLS = 120
CHATS = 80
# Lines besides that cannot be captured, so that there is something to decide about.
BROKEN = 1
ZONE = ZoneInfo("Europe/Helsinki")

_AUDIO = Path(__file__).parent / "audio"
# Coaching lasts six months at every company (centre.RULES): that much before now, plus these.
_COACHING_MONTHS = 6
_ENDS_IN_HOURS = (1, 3, 7, 20, 30, 50, 75, 100, 150, 200)
_OPENING_HOUR, _CLOSING_HOUR = 8, 18
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class _Desk:
    """Who answers what is about a topic, for which company, and how long that is kept."""

    controller: str
    team: str
    queue: str
    days_back: int


# Where coaching is the only purpose, nothing older than six months is made: it would go at once.
_DESKS = {
    "customer_service": _Desk(LIFE, "asiakaspalvelu", "henki-palvelu", 360),
    "claims": _Desk(LIFE, "korvaukset", "henki-korvaukset", 360),
    "sales": _Desk(LIFE, "myynti", "henki-myynti", 170),
    "investments": _Desk(ASSETS, "sijoitusneuvonta", "sijoitus-neuvonta", 360),
    "orders": _Desk(ASSETS, "toimeksiannot", "sijoitus-toimeksiannot", 360),
}
# Staff of one company answer for another: sales in Swedish.
_SWEDISH_DESKS = {
    "customer_service": _Desk(SERVICES, "svensk-kundtjanst", "svensk-service", 360),
    "sales": _Desk(LIFE, "svensk-kundtjanst", "henki-myynti", 170),
}
_AGENTS = {team.slug: team.agents for team in TEAMS}
_SOURCES = {(source.controller, source.slug.rpartition("-")[2]): source.slug for source in SOURCES}


def write_manifests(directory: Path, now: datetime, seed: int) -> list[tuple[str, Path]]:
    """
    Write one manifest for each source, and the sound beside them.

    The same time and seed give the same conversations, with the same ids. Returns each source's
    slug and its manifest.
    """
    audio = _bring_audio(directory)
    chance = random.Random(seed)  # noqa: S311 (a sample, not a secret)
    lines: dict[str, list[dict[str, Any]]] = {source.slug: [] for source in SOURCES}
    for number in range(CALLS):
        source, line = _call(number, audio, now, chance)
        lines[source].append(line)
    for number in range(CHATS):
        source, line = _chat(number, now, chance)
        lines[source].append(line)
    _carry_on(lines, now)
    lines["palvelut-pbx"].append(_cut_off(directory, audio, now))
    written = []
    for slug, of_source in lines.items():
        path = directory / f"{slug}.manifest.jsonl"
        of_source.sort(key=lambda line: line["started_at"])
        path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in of_source))
        written.append((slug, path))
    return written


def short_lived_line(number: int, ended_at: datetime) -> tuple[str, dict[str, Any]]:
    """Source and manifest line of a chat in the queue that is kept for days only."""
    texts = [text for text in sample_texts("chats") if text.topic == "customer_service"]
    text = texts[number % len(texts)]
    chance = random.Random(number)  # noqa: S311 (a sample, not a secret)
    desk = _Desk(SERVICES, "asiakaspalvelu", "demo", 14)
    line = _chat_line(text, desk, ended_at, chance)
    return "palvelut-chat", line | {"id": f"demo-{ended_at:%Y%m%dT%H%M%S.%f}"}


def _bring_audio(directory: Path) -> dict[str, dict[str, Any]]:
    """Link the sound files into the directory; gives what each one is, by the slug of its text."""
    target = directory / "audio"
    target.mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, Any]] = orjson.loads((_AUDIO / "audio.json").read_bytes())
    for entry in entries:
        copy = target / entry["file"]
        if copy.exists():
            continue
        try:
            os.link(_AUDIO / entry["file"], copy)
        except OSError:  # another file system, or one without links
            shutil.copyfile(_AUDIO / entry["file"], copy)
    return {entry["slug"]: entry for entry in entries}


def _desk(text: SampleText) -> _Desk:
    desks = _DESKS | _SWEDISH_DESKS if text.language == "sv" else _DESKS
    return desks[text.topic]


def _ended_at(number: int, desk: _Desk, now: datetime, chance: random.Random) -> datetime:
    """A time in office hours, more of them lately; every tenth one loses its coaching soon."""
    if number % 10 == 9:
        hours = _ENDS_IN_HOURS[number // 10 % len(_ENDS_IN_HOURS)]
        return months_before(now + timedelta(hours=hours), _COACHING_MONTHS)
    days = chance.random() ** 1.6 * desk.days_back
    day = (now - timedelta(days=days)).astimezone(ZONE)
    while day.weekday() >= _SATURDAY:
        day -= timedelta(days=1)
    minutes = chance.randrange(_OPENING_HOUR * 60 + 5, _CLOSING_HOUR * 60)
    moment = day.replace(hour=minutes // 60, minute=minutes % 60, second=chance.randrange(60))
    moment = moment.replace(microsecond=0).astimezone(UTC)
    return moment if moment < now else now - timedelta(minutes=chance.randrange(5, 600))


def months_before(moment: datetime, months: int) -> datetime:
    """The same local time so many months earlier; a missing day gives the month's last."""
    local = moment.astimezone(ZONE)
    index = local.year * 12 + local.month - 1 - months
    year, month = divmod(index, 12)
    last = calendar.monthrange(year, month + 1)[1]
    earlier = local.replace(year=year, month=month + 1, day=min(local.day, last))
    return earlier.astimezone(UTC)


def _customer(language: str, chance: random.Random) -> dict[str, Any]:
    name, tel, customer_number = chance.choice(CUSTOMERS[language])
    return {"role": "customer", "name": name, "tel": tel, "customer_number": customer_number}


def _agent(team: str, chance: random.Random) -> dict[str, Any]:
    login, name = chance.choice(_AGENTS[team])
    return {"role": "agent", "name": name, "login": login}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _call(
    number: int, audio: Mapping[str, Mapping[str, Any]], now: datetime, chance: random.Random
) -> tuple[str, dict[str, Any]]:
    texts = sample_texts("calls")
    text = texts[number % len(texts)]
    desk, entry = _desk(text), audio[text.slug]
    ended_at = _ended_at(number, desk, now, chance)
    started_at = ended_at - timedelta(seconds=entry["duration_seconds"])
    line: dict[str, Any] = {
        "id": f"call-{number + 1:04}",
        "kind": "call",
        "direction": "outbound" if "callback" in text.slug else "inbound",
        "controller": desk.controller,
        "started_at": _time(started_at),
        "ended_at": _time(ended_at),
        "language": text.language,
        "parties": [_agent(desk.team, chance), _customer(text.language, chance)],
        "files": [_file(entry)],
        "subject": text.subject,
        "notice": NOTICE,
        "informed_by": "announcement",
    }
    if number % 17 == 3:
        line["tags"] = ["praise" if number % 2 else "complaint"]
    if text.topic == "customer_service" and number % 3 == 1 and desk.controller == LIFE:
        line |= _transferred(line, desk, started_at, ended_at, chance)
    else:
        line |= {"team": desk.team, "queue": desk.queue}
    return _SOURCES[desk.controller, "pbx"], line


def _transferred(
    line: Mapping[str, Any],
    desk: _Desk,
    started_at: datetime,
    ended_at: datetime,
    chance: random.Random,
) -> dict[str, Any]:
    """Two segments: the second by somebody in sales, of the same company."""
    at = _time(started_at + (ended_at - started_at) * 0.6)
    second = {"team": "myynti", "queue": "henki-myynti"}
    return {
        "parties": [*line["parties"], _agent("myynti", chance)],
        "segments": [
            {"from": line["started_at"], "until": at, "agent": 0}
            | {"team": desk.team, "queue": desk.queue},
            {"from": at, "until": line["ended_at"], "agent": 2} | second,
        ],
    }


def _file(entry: Mapping[str, Any]) -> dict[str, Any]:
    known = ("mediatype", "codec", "sample_rate", "channels", "duration_seconds", "sha256")
    file = {name: entry[name] for name in known} | {"path": f"audio/{entry['file']}"}
    if entry["channels"] == 2:
        file["channel_roles"] = ["agent", "customer"]
    return file


def _chat(number: int, now: datetime, chance: random.Random) -> tuple[str, dict[str, Any]]:
    texts = sample_texts("chats")
    text = texts[number % len(texts)]
    desk = _desk(text)
    line = _chat_line(text, desk, _ended_at(number, desk, now, chance), chance)
    if number % 40 == 17:
        # No rule covers this queue: closed to everybody until somebody decides.
        line |= {"queue": "kokeilu", "controller": SERVICES, "team": "svensk-kundtjanst"}
        return "palvelut-chat", line | {"id": f"chat-{number + 1:04}"}
    return _SOURCES[desk.controller, "chat"], line | {"id": f"chat-{number + 1:04}"}


def _chat_line(
    text: SampleText, desk: _Desk, ended_at: datetime, chance: random.Random
) -> dict[str, Any]:
    agent, customer = _agent(desk.team, chance), _customer(text.language, chance)
    gaps = [chance.uniform(6, 15 + len(said) / 3) for _, said in text.turns]
    # The last message is the end, so that retention is counted from what was said.
    at = ended_at - timedelta(seconds=sum(gaps[1:]))
    started_at = at
    messages = []
    for number, (speaker, said) in enumerate(text.turns):
        at = ended_at if number == len(text.turns) - 1 else at
        messages.append(
            {
                "id": f"m{number + 1}",
                "at": _time(at),
                "party": 0 if speaker == "agent" else 1,
                "text": said.replace("{agent}", str(agent["name"]).split()[0]),
            }
        )
        at += timedelta(seconds=gaps[number + 1] if number + 1 < len(gaps) else 0)
    return {
        "kind": "chat",
        "direction": "inbound",
        "controller": desk.controller,
        "started_at": _time(started_at),
        "ended_at": _time(ended_at),
        "language": text.language,
        "parties": [agent, customer],
        "messages": messages,
        "team": desk.team,
        "queue": desk.queue,
        "subject": text.subject,
        "notice": NOTICE,
        "informed_by": "banner",
    }


def _carry_on(lines: Mapping[str, list[dict[str, Any]]], now: datetime) -> None:
    """Link pairs of calls of one source: the customer called again within some days."""
    calls = sorted(lines["varainhoito-pbx"], key=lambda line: str(line["started_at"]))
    for first, second in list(pairwise(calls))[:8:4]:
        second["linked_to"] = first["id"]
        second["parties"][1] = first["parties"][1]


def _cut_off(
    directory: Path, audio: Mapping[str, Mapping[str, Any]], now: datetime
) -> dict[str, Any]:
    """A call whose recording was cut while it was sent: only its header claims the whole length."""
    entry = audio["service-moving-abroad-sv"]
    whole = (_AUDIO / entry["file"]).read_bytes()
    (directory / "audio" / "cut-off.wav").write_bytes(whole[: len(whole) // 2])
    ended_at = now - timedelta(days=2, hours=3)
    file = _file(entry) | {"path": "audio/cut-off.wav"}
    del file["sha256"]
    return {
        "id": "call-cut-off",
        "kind": "call",
        "direction": "inbound",
        "controller": SERVICES,
        "started_at": _time(ended_at - timedelta(seconds=entry["duration_seconds"])),
        "ended_at": _time(ended_at),
        "language": "sv",
        "parties": [{"role": "agent", "login": "ylva.exempel"}, {"role": "customer"}],
        "files": [file],
        "team": "svensk-kundtjanst",
        "queue": "svensk-service",
        "notice": NOTICE,
        "informed_by": "announcement",
    }
