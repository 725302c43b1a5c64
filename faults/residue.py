"""After a run and the maintenance that follows it, nothing of what was destroyed is on any disk."""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import redis
from django.conf import settings
from django.core.cache import cache
from django.test import override_settings

from audit import clock
from bench.centre import Centre
from bench.measuring import Scale
from config.servers.unprivileged import account, home
from faults.company import Company
from faults.outcome import Outcome
from recordings.models import Conversation, Dialog, Party, Rendition, StoredObject
from recordings.objectstore import ObjectStore
from retention.operations.purge.maintenance import maintain
from tests.harness.worker import ring

ITEMS = {Scale.SMALL: 5, Scale.FULL: 200}
SAMPLE_BYTES = 24
SECRET = b"marker-"


def run(centre: Centre, scale: Scale) -> Iterator[Outcome]:
    """Plant, search, destroy, maintain, search again."""
    company = Company(centre)
    marker = SECRET + uuid4().hex.encode()
    due = company.capture(ITEMS[scale], body=marker * 100)
    kept = company.capture(ITEMS[scale], destroy_after=clock.now() + timedelta(days=1))
    _in_clear(due, marker)
    samples = {b"marker": marker, **_samples(company, due[0])}
    control = _samples(company, kept[0])
    for name, s in samples.items():
        print(name, len(s))
    _write_out(company)
    print("before", _found(company, samples), _found(company, control))
    company.finish()
    print("after purge", _found(company, samples))
    with company.stage.acting_as("purge"), override_settings(
        SEAWEEDFS_MASTER_URL=company.stage.environment("purge")["SEAWEEDFS_MASTER_URL"]
    ):
        print(maintain(has_destroyed=True, clock=clock.now))
    print("after maintain", _found(company, samples))
    _write_out(company)
    print("after writeout", _found(company, samples), _found(company, control))
    yield Outcome("residue", False, {})


def _in_clear(due, marker):
    for one in due:
        Conversation.objects.filter(pk=one.pk).update(external_id=marker.decode()+one.pk.hex)


def _samples(company: Company, one: Conversation) -> dict[bytes, bytes]:
    one.refresh_from_db()
    dialog = Dialog.objects.get(conversation=one)
    party = Party.objects.filter(conversation=one).first()
    rendition = Rendition.objects.get(dialog=dialog, kind="peaks")
    with company.stage.acting_as("work"):
        stored = [ObjectStore.for_content().get(row.key, row.version_id) for row in StoredObject.objects.filter(conversation=one)]
    return {b"wrapped_key": bytes(one.wrapped_key)[-24:], b"name": bytes(dialog.sealed_name)[-24:], b"party": bytes(party.sealed_details)[-24:], b"peaks": bytes(rendition.sealed_body)[-24:],
        b"object0": stored[0][-24:], b"object1": stored[1][-24:], b"external": one.external_id.encode()}


def _write_out(company: Company) -> None:
    with psycopg.connect(company.stage.servers.superuser_url(), autocommit=True) as c:
        c.execute("CHECKPOINT"); c.execute("SELECT pg_switch_wal()"); c.execute("CHECKPOINT")


def _found(company, samples):
    data = company.stage.servers.data
    cluster = home(data, step_down_to=account()) / "cluster"
    found = {}
    for root in {data, cluster}:
        for folder, _f, names in os.walk(root):
            for name in names:
                p = Path(folder) / name
                try:
                    c = p.read_bytes()
                except OSError:
                    continue
                for n, s in samples.items():
                    if s in c:
                        place = str(p).replace(str(root), "")
                        found.setdefault(n.decode(), []).append(place[:40])
    return found
