"""Capture of a manifest's audio files, compared with bare S3 puts of the same bytes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

from django.conf import settings

from accounts.models import Source
from audit import clock
from bench.centre import Centre
from bench.measuring import Line, Scale, compared, require_same, seconds, take_turns
from recordings.content_keys import content_key
from recordings.encryption import decrypt_bytes
from recordings.keyring import FileKeyring
from recordings.models import Conversation
from recordings.objectstore import ObjectStore
from recordings.operations.intake import Tools, take_in

AUDIO = Path(__file__).resolve().parents[1] / "config" / "samples" / "audio"
CONVERSATIONS = {Scale.SMALL: 22, Scale.FULL: 110}


def measure(centre: Centre, scale: Scale) -> Iterator[Line]:
    """Measure conversations a second, one process and one after the other on both sides."""
    count = CONVERSATIONS[scale]
    with centre.stage.acting_as("work"):
        # The first capture starts the child that decodes, and makes the keys.
        _require_same_bytes(centre)
        ours, bare = take_turns(
            partial(_capture_rate, centre, count), partial(_put_rate, centre, count)
        )
    yield compared("capture_rate_vs_put", "conversations/s", ours, bare)


def _files(count: int) -> list[Path]:
    """The project's own recordings, again and again."""
    found = sorted(path for path in AUDIO.iterdir() if path.suffix != ".json")
    return [found[number % len(found)] for number in range(count)]


def _tools(centre: Centre) -> Tools:
    return Tools(
        source=Source.objects.select_related("controller").get(pk=centre.source.pk),
        store=ObjectStore.for_content(),
        keyring=FileKeyring.from_settings(),
        clock=clock.now,
    )


def _require_same_bytes(centre: Centre) -> None:
    """What capture stored, decrypted, is what a bare put would have stored."""
    files = sorted(set(_files(max(CONVERSATIONS.values()))))
    with tempfile.TemporaryDirectory() as folder:
        manifest = _manifest(Path(folder), files, centre, clock.now())
        taken = [done.captured for done in take_in(paths=[manifest], tools=_tools(centre))]
    store, keyring = ObjectStore.for_content(), FileKeyring.from_settings()
    for file, captured in zip(files, taken, strict=True):
        require_same(captured is None, False, file.name)
        assert captured is not None
        conversation = Conversation.objects.get(pk=captured.conversation_id)
        dialog = conversation.dialogs.select_related("stored_object").get()
        stored = dialog.stored_object
        plain = decrypt_bytes(
            store.get(stored.key, stored.version_id),
            key=content_key(conversation=conversation, keyring=keyring),
            associated_data=dialog.pk.bytes,
        )
        require_same(plain, file.read_bytes(), file.name)


def _manifest(folder: Path, files: list[Path], centre: Centre, now: datetime) -> Path:
    """Write a manifest of one call for each file; the files are linked beside it."""
    started_at = now - timedelta(days=1)
    lines = []
    for number, file in enumerate(files):
        linked = folder / f"{number:04}{file.suffix}"
        os.link(file, linked) if file.stat().st_dev == folder.stat().st_dev else (
            linked.write_bytes(file.read_bytes())
        )
        lines.append(
            {
                "id": f"call-{uuid4()}",
                "kind": "call",
                "started_at": started_at.isoformat(),
                "ended_at": (started_at + timedelta(seconds=120)).isoformat(),
                "parties": [
                    {"role": "agent", "name": "Aino Agentti", "login": "aino.agentti"},
                    {"role": "customer", "name": "Outi Olematon", "tel": f"+35890000{number:04}"},
                ],
                "team": centre.teams[number % len(centre.teams)].slug,
                "files": [{"path": linked.name}],
            }
        )
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def _capture_rate(centre: Centre, count: int, _round: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        manifest = _manifest(Path(folder), _files(count), centre, clock.now())
        tools = _tools(centre)
        taken: list[str | None] = []
        took = seconds(
            lambda: taken.extend(done.reason for done in take_in(paths=[manifest], tools=tools))
        )
    require_same(taken, [None] * count, "What was captured")
    return count / took


def _put_rate(centre: Centre, count: int, number: int) -> float:
    s3 = centre.stage.servers.s3("content")
    prefix = f"{clock.now():%Y/%m/%d}/bench-{number}-{uuid4()}"

    def put_all() -> None:
        for place, file in enumerate(_files(count)):
            s3.put_object(
                Bucket=settings.S3_CONTENT_BUCKET, Key=f"{prefix}/{place}", Body=file.read_bytes()
            )

    return count / seconds(put_all)
