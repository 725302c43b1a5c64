"""
After a run and the maintenance that follows it, what was destroyed is on no disk any more.

Nothing of content in clear, before or after; none of the stored objects, which lay there before.
Small values sealed under a destroyed key, wrapped keys and the sources' names for conversations
stay in the free space of PostgreSQL's pages until it is used again: counted, and said in
docs/explanation/retention.md.
"""

from __future__ import annotations

import base64
import os
import stat
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import redis
from django.conf import settings

from audit import clock
from bench.centre import Centre
from bench.measuring import Scale
from bench.streaming import captured, noise
from config.servers.unprivileged import account, home
from faults.company import NO_BRAKE, Company, is_all_gone, wait_until
from faults.outcome import Outcome
from recordings.models import Conversation, Dialog, Party, Rendition, StoredObject
from recordings.objectstore import ObjectStore
from retention.models import PurgeRun
from retention.run_queries import maintenance_of
from tests.harness.visitors import Visitor
from tests.harness.worker import ring, working

ITEMS = {Scale.SMALL: 20, Scale.FULL: 200}
# Of so many what was stored is looked for, byte by byte.
LOOKED_FOR = 10
SAMPLE_BYTES = 24
TASK = "retention.tasks.purge"
LARGEST_BYTES = 2 * 2**30
TEMPORARY = ("/tmp", "/dev/shm", "/var/tmp")  # noqa: S108

# What is looked for → the bytes of it.
Samples = Mapping[str, list[bytes]]


def run(centre: Centre, scale: Scale) -> Iterator[Outcome]:
    """Plant, look for it, destroy, let the maintenance follow, look again."""
    company, since = Company(centre), time.time()
    marker = f"marker-{uuid4().hex}"
    due: list[Conversation] = []
    kept: list[Conversation] = []
    for _ in range(ITEMS[scale]):
        due += company.capture(1, body=marker.encode() * 50)
        kept += company.keep(1)
    due.append(_captured_and_heard(centre, company, marker))
    wanted = {
        "in_clear": list(_spellings(marker)),
        **_stored(company, due[:: max(1, len(due) // LOOKED_FOR)]),
    }
    control = _stored(company, kept[:1])
    _write_out(company)
    before, control_before = _found(company, wanted, since), _found(company, control, since)
    # The worker: broker, results and logs get what they get, and the maintenance follows.
    told = {name: str(value) for name, value in NO_BRAKE.items()}
    told["SEAWEEDFS_MASTER_URL"] = centre.stage.servers.environment("purge")["SEAWEEDFS_MASTER_URL"]
    with working(company.stage, "purge", **told):
        ring(TASK)
        wait_until(_is_maintained)
    _write_out(company)
    after, control_after = _found(company, wanted, since), _found(company, control, since)
    account_of_it = company.account(due)
    yield Outcome(
        "residue",
        is_all_gone(account_of_it, of=len(due))
        and before["in_clear"] == after["in_clear"] == after["objects"] == 0
        and all(before[name] for name in wanted if name != "in_clear")
        and set(control_before) == set(control_after) == set(control),
        {
            "items": len(due),
            **{f"{name}_before": before[name] for name in wanted},
            **{f"{name}_after": after[name] for name in wanted},
            "kept_still_found": len(control_after),
            **account_of_it,
        },
    )


def _captured_and_heard(centre: Centre, company: Company, marker: str) -> Conversation:
    """One that came in as all do, with the marker for sound, and was heard and looked at."""
    body = bytearray(noise())
    for place in range(10_000, len(body) - 1000, len(body) // 20):
        body[place : place + len(marker)] = marker.encode()
    with centre.stage.acting_as("work"):
        conversation = captured(centre, bytes(body))
    visitor = Visitor(company.stage, centre.reader_of_five)
    (dialog,) = conversation.dialogs.all()
    assert marker.encode() in visitor.listen(dialog.pk).body
    visitor.get(f"/conversations/{conversation.pk}/")
    visitor.get(f"/conversations/waveform/{dialog.pk}")
    Conversation.objects.filter(pk=conversation.pk).update(
        destroy_after=clock.now() - timedelta(seconds=1)
    )
    return conversation


def _spellings(marker: str) -> Iterator[bytes]:
    """The marker as bytes, as PostgreSQL writes bytea, and in base64 at each of its offsets."""
    yield marker.encode()
    yield marker.encode().hex().encode()
    for offset in range(3):
        yield base64.b64encode(b"\0" * offset + marker.encode())[4:-4]


def _stored(company: Company, some: list[Conversation]) -> dict[str, list[bytes]]:
    """What lies of them in store and database, each from its end: all of it is random."""
    ids = [one.pk for one in some]
    rows = StoredObject.objects.filter(conversation__in=ids).values_list("key", "version_id")
    with company.stage.acting_as("work"):
        content = ObjectStore.for_content()
        objects = [content.get(key, version) for key, version in rows]
    of = {"conversation__in": ids}
    peaks = Rendition.objects.filter(dialog__conversation__in=ids, kind="peaks")
    found: dict[str, Iterable[Any]] = {
        "objects": objects,
        "names": Dialog.objects.filter(**of).values_list("sealed_name", flat=True),
        "parties": Party.objects.filter(**of).values_list("sealed_details", flat=True),
        "peaks": peaks.values_list("sealed_body", flat=True),
        "wrapped_keys": Conversation.objects.filter(pk__in=ids).values_list(
            "wrapped_key", flat=True
        ),
        "source_ids": [
            one.encode()
            for one in Conversation.objects.filter(pk__in=ids).values_list("external_id", flat=True)
        ],
    }
    return {
        name: [bytes(value)[-SAMPLE_BYTES:] for value in values if value]
        for name, values in found.items()
    }


def _is_maintained() -> bool:
    newest = PurgeRun.objects.filter(state="finished").order_by("-started_at").first()
    return newest is not None and maintenance_of(newest) is not None


def _write_out(company: Company) -> None:
    """Do what PostgreSQL does by itself within minutes: write all pages, begin a new WAL file."""
    with psycopg.connect(company.stage.servers.superuser_url(), autocommit=True) as superuser:
        for statement in ("CHECKPOINT", "SELECT pg_switch_wal()", "CHECKPOINT"):
            superuser.execute(statement)


def _found(company: Company, wanted: Samples, since: float) -> Counter[str]:
    """How many of the samples are found anywhere: data folders, logs, broker, temporary files."""
    seen: dict[str, set[bytes]] = {name: set() for name in wanted}
    for content in _contents(company, since):
        for name, samples in wanted.items():
            seen[name] |= {sample for sample in samples if sample in content}
    return Counter({name: len(hits) for name, hits in seen.items() if hits})


def _contents(company: Company, since: float) -> Iterator[bytes]:
    data = company.stage.servers.data
    roots = {data, home(data, step_down_to=account())}
    for root in roots:
        yield from _files_below(root, newer_than=0.0)
    for folder in TEMPORARY:
        yield from _files_below(Path(folder), newer_than=since)
    client = redis.Redis.from_url(str(settings.REDIS_URL))
    yield b"".join(key + (client.dump(key) or b"") for key in client.scan_iter())


def _files_below(root: Path, *, newer_than: float) -> Iterator[bytes]:
    for folder, _folders, names in os.walk(root):
        for name in names:
            path = Path(folder) / name
            try:
                found = path.lstat()
                if not stat.S_ISREG(found.st_mode) or found.st_mtime < newer_than:
                    continue
                if found.st_size < LARGEST_BYTES:
                    yield path.read_bytes()
            except OSError:
                continue  # gone since
