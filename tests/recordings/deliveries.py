"""What phone and chat systems deliver, made up for these tests."""

from __future__ import annotations

import base64
import json
from array import array
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from accounts.models import Source
from audit import clock
from recordings.formats.incoming import IncomingConversation, IncomingFile, IncomingMessage
from recordings.objectstore import ObjectStore
from recordings.objectstore.identity import Identity
from recordings.operations.capture import Captured, capture
from tests import factories
from tests.factories import AGENT, CUSTOMER, RATE, Centre, tones

BEGAN = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
# One frame of silence in GSM 06.10; fifty of them last a second.
GSM_FRAME = bytes.fromhex("d820a2e15a5000492492492450004924924924500049249249245000492492492450")[
    :33
]
GSM = GSM_FRAME * 100


def sound(body: bytes | None = None, **said: Any) -> IncomingFile:
    """Two seconds of two tones, called call.wav."""
    return IncomingFile(
        **{
            "path": None,
            "body": tones(2.0) if body is None else body,
            "name": "call.wav",
            "mediatype": "audio/wav",
            "started_at": BEGAN,
            "channel_roles": ("agent", "customer"),
            **said,
        }
    )


def gsm(**said: Any) -> IncomingFile:
    """Two seconds of silence in a form that no browser plays."""
    return sound(GSM, **{"name": "call.gsm", "mediatype": "audio/GSM", "channel_roles": ()} | said)


def call(*files: IncomingFile, **said: Any) -> IncomingConversation:
    """A call of two seconds, of one recording unless told."""
    return replace(
        IncomingConversation(
            external_id=f"call-{uuid4()}",
            kind="call",
            direction="inbound",
            started_at=BEGAN,
            ended_at=BEGAN + timedelta(seconds=2),
            language="fi",
            parties=(AGENT, CUSTOMER),
            files=files or (sound(),),
        ),
        **said,
    )


def chat(*texts: str, **said: Any) -> IncomingConversation:
    """A chat of these messages."""
    return replace(
        call(
            kind="chat",
            messages=tuple(
                IncomingMessage(at=BEGAN + timedelta(milliseconds=number), party=1, text=text)
                for number, text in enumerate(texts)
            ),
            **said,
        ),
        files=(),
    )


def take(
    centre: Centre,
    incoming: IncomingConversation,
    *,
    by: Source | None = None,
    store: ObjectStore | None = None,
) -> Captured:
    """Capture as the work process does."""
    with centre.stage.acting_as("work"):
        return take_as_work(centre, incoming, by=by, store=store)


def take_as_work(
    centre: Centre,
    incoming: IncomingConversation,
    *,
    by: Source | None = None,
    store: ObjectStore | None = None,
) -> Captured:
    """The same, for who acts as the work process already."""
    return capture(
        incoming=incoming,
        source=Source.objects.select_related("controller").get(pk=(by or centre.pbx).pk),
        store=store or ObjectStore.for_content(),
        keyring=centre.keyring(),
        now=clock.now(),
    )


def store_that_is_down() -> ObjectStore:
    """A store at whose address nobody answers."""
    return ObjectStore(Identity("http://127.0.0.1:9", "us-east-1", "content", "key", "secret"))


def mono(seconds: float = 2.0) -> bytes:
    """A WAV file of one channel."""
    return factories.wav(array("h", [100, -100] * round(seconds * RATE / 2)), channels=1)


def vcon(path: Path, body: bytes, **said: Any) -> Path:
    """Write a vCon with one inline recording of which no end and no duration is said."""
    content = {
        "vcon": "0.4.0",
        "uuid": str(uuid4()),
        "created_at": BEGAN.isoformat(),
        "parties": [
            {"name": AGENT.name, "role": "agent"},
            {"name": CUSTOMER.name, "tel": "+358900001001", "role": "customer"},
        ],
        "dialog": [
            {
                "type": "recording",
                "start": BEGAN.isoformat(),
                "parties": [0, 1],
                "mediatype": "audio/x-wav",
                "filename": "call.wav",
                "encoding": "base64url",
                "body": base64.urlsafe_b64encode(body).decode().rstrip("="),
            }
        ],
        **said,
    }
    path.write_text(json.dumps(content))
    return path


def line(external_id: str | None = None, **said: Any) -> dict[str, Any]:
    """One line of a manifest: a call whose recording is call.wav."""
    return {
        "id": external_id or f"call-{uuid4()}",
        "kind": "call",
        "started_at": BEGAN.isoformat(),
        "ended_at": (BEGAN + timedelta(seconds=2)).isoformat(),
        "parties": [{"role": "agent"}, {"role": "customer", "tel": "+358900001001"}],
        "team": "claims",
        "files": [{"path": "call.wav"}],
        **said,
    }


def manifest(folder: Path, *lines: dict[str, Any] | str) -> Path:
    """Write a manifest of these lines; text goes in as it is."""
    path = folder / "manifest.jsonl"
    path.write_text(
        "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines)
    )
    return path
