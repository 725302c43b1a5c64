"""Law 9: personal data stays where it belongs, whatever a source puts into whatever field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import redis
from django.conf import settings
from django.db import connection

from audit import clock
from config.servers import Servers
from config.servers.identities import CONTENT_BUCKET
from recordings.models import Conversation, QuarantinedItem, StoredObject
from retention.models import Destruction
from tests.factories import Centre, sound_of, tones
from tests.harness.commands import manage
from tests.harness.roles import Stage
from tests.harness.worker import ring, working

# A personal identity code, a telephone number, a card, an account, an address, a name, a secret.
PLANTED = {
    "hetu": "131052-308T",
    "phone": "+358409876543",
    "card": "5105105105105100",
    "iban": "FI2112345600000785",
    "email": "venla.salattu@kotona.example",
    "name": "Venla Salaperäinen",
    "token": "sk_live_9f2c7d41aa",
}
EVERYTHING = " ".join(PLANTED.values())


def write_delivery(folder: Path, *, now: str, later: str) -> Path:
    """A manifest whose every free field holds all of it, with one line that cannot be captured."""
    folder.mkdir()
    (folder / f"{PLANTED['phone']} {PLANTED['name']}.wav").write_bytes(tones(1.0))
    line = {
        "id": f"call {EVERYTHING}",
        "kind": "call",
        "direction": "inbound",
        "started_at": now,
        "ended_at": later,
        "language": "fi",
        "subject": EVERYTHING,
        "parties": [
            {"role": "agent", "name": PLANTED["name"], "login": PLANTED["email"]},
            {
                "role": "customer",
                "name": PLANTED["name"],
                "tel": PLANTED["phone"],
                "mailto": PLANTED["email"],
                "national_id": PLANTED["hetu"],
            },
        ],
        "team": "claims",
        "agent": 0,
        "files": [
            {
                "path": f"{PLANTED['phone']} {PLANTED['name']}.wav",
                "channel_roles": ["agent", "customer"],
            }
        ],
    }
    chat = {
        **{key: line[key] for key in line if key not in ("files", "direction")},
        "id": f"chat {EVERYTHING}",
        "kind": "chat",
        "messages": [{"at": now, "party": 1, "text": EVERYTHING}],
    }
    broken = {**line, "id": f"broken {EVERYTHING}", "team": PLANTED["name"]}
    manifest = folder / f"{PLANTED['email']}.manifest.jsonl"
    manifest.write_text("".join(json.dumps(each) + "\n" for each in (line, chat, broken)))
    (folder / f"{PLANTED['hetu']}.vcon.json").write_text(
        json.dumps({"vcon": "0.0.1", "uuid": EVERYTHING, "subject": EVERYTHING, "dialog": "?"})
    )
    return folder


def found_in(where: str, texts: Iterable[str]) -> list[str]:
    """Name what was planted and lies in one of the texts, in whatever way it is written there."""
    found = []
    for text in texts:
        found += [
            f"{name} in {where}"
            for name, value in PLANTED.items()
            # As it is, and as JSON and addresses write it.
            if value in text or json.dumps(value)[1:-1] in text or quote(value) in text
        ]
    return found


def rows_in_clear(*, besides: set[str]) -> list[str]:
    """Every text of every table of ours, but for the columns named."""
    texts = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND data_type IN "
            "('text', 'character varying', 'jsonb', 'json', 'ARRAY', 'bytea')"
        )
        for table, column in cursor.fetchall():
            if f"{table}.{column}" in besides:
                continue
            cursor.execute(f'SELECT "{column}"::text FROM "{table}" WHERE "{column}" IS NOT NULL')
            texts += [_readable(text) for (text,) in cursor.fetchall()]
    return texts


def _readable(text: str) -> str:
    is_bytea = text.startswith(r"\x")
    return bytes.fromhex(text[2:]).decode("utf-8", errors="replace") if is_bytea else text


# In clear while it is kept, since captures are told apart by it: see the model.
EXTERNAL_ID = "recordings_conversation.external_id"


def test_is_in_no_key_log_line_task_address_event_or_column(
    centre: Centre,
    stage: Stage,
    servers: Servers,
    signed_in: Callable,
    tmp_path: Path,
    caplog,
    capfd,
):
    later = clock.now() - timedelta(minutes=5)
    folder = write_delivery(
        tmp_path / "delivery",
        now=(later - timedelta(seconds=1)).isoformat(),
        later=later.isoformat(),
    )

    taken = manage(stage, "capture", str(folder), "--source", "pbx", role="work")

    assert Conversation.objects.count() == 2, taken.printed
    assert QuarantinedItem.objects.count() >= 2, taken.printed
    call = Conversation.objects.get(kind="call")
    chat = Conversation.objects.get(kind="chat")
    # The positive control: it was taken in, and whoever may can read it.
    alice = signed_in(centre.alice)
    assert PLANTED["hetu"] in alice.get(f"/conversations/{chat.pk}/").text
    found = found_in("what capture prints", [taken.printed])
    pages = [
        alice.get("/conversations/"),
        alice.get(f"/conversations/{call.pk}/"),
        alice.get("/conversations/", {"language": PLANTED["name"], "team": PLANTED["phone"]}),
        signed_in(centre.charlie).get(f"/conversations/{chat.pk}/"),
        signed_in(centre.olga).get("/audit/"),
        signed_in(centre.olga).get("/conversations/quarantine/"),
        signed_in(centre.olga).get(f"/retention/conversations/{chat.pk}/"),
    ]
    alice.listen(sound_of(call).pk)
    centre.end(chat, at=clock.now() - timedelta(minutes=1))
    ring("retention.tasks.purge")
    centre.matter_of(call)
    found += found_in("the broker", _all_of_the_broker())
    with working(stage, "work") as work, working(stage, "purge") as purge:
        _wait_for(chat, work.process, purge.process)
        logged = [work.process.log.read_text(), purge.process.log.read_text()]
    explained = manage(stage, "explain", str(call.pk), role="work")

    found += found_in("a worker's log", logged)
    found += found_in("a log line", [caplog.text, *capfd.readouterr()])
    found += found_in("an explanation", [explained.printed])
    found += found_in("an address", [url for page in pages for url in _addresses(page.text)])
    found += found_in("an object key", _keys(servers, [call, chat]))
    found += found_in("a column", rows_in_clear(besides={EXTERNAL_ID}))
    assert found == []
    assert not Conversation.objects.filter(state="destroyed").exclude(external_id="").exists()


def _addresses(page: str) -> list[str]:
    return re.findall(r"(?:href|src|action|data-[a-z-]+)=\"([^\"]*)\"", page)


def _all_of_the_broker() -> list[str]:
    client = redis.Redis.from_url(settings.REDIS_URL)
    texts = []
    for key in client.scan_iter():
        texts.append(key.decode(errors="replace"))
        if client.type(key) == b"list":
            for item in client.lrange(key, 0, -1):
                texts.append(item.decode(errors="replace"))
                texts.append(json.dumps(_body_of(item)))
    assert len(texts) > 1
    return texts


def _body_of(message: bytes) -> object:
    import base64

    return json.loads(base64.b64decode(json.loads(message)["body"]))


def _keys(servers: Servers, conversations: list[Conversation]) -> list[str]:
    """The keys of all that was stored: as the rows name them, and as the store lists them."""
    keys = [
        *StoredObject.objects.values_list("key", flat=True),
        *QuarantinedItem.objects.values_list("object_key", flat=True),
        *Destruction.objects.exclude(ledger_key="").values_list("ledger_key", flat=True),
    ]
    for one in conversations:
        listed = servers.s3("admin").list_object_versions(
            Bucket=CONTENT_BUCKET, Prefix=f"{one.ended_at:%Y/%m/%d}/{one.pk}/"
        )
        keys += [version["Key"] for version in listed.get("Versions", [])]
    assert any(str(conversations[0].pk) in key for key in keys)
    return keys


def _wait_for(conversation: Conversation, *processes) -> None:
    import time

    deadline = time.monotonic() + 60
    while conversation.state != "destroyed" and time.monotonic() < deadline:
        for process in processes:
            process.check_alive()
        time.sleep(0.1)
        conversation.refresh_from_db()
    assert conversation.state == "destroyed"
