"""Finding and withdrawing the next batch where there are ten million conversations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from time import sleep

import psycopg
from django.db import connection, connections, transaction

from audit import clock
from bench.centre import ACTOR, Centre
from bench.measuring import Line, Scale, WrongAnswer, compared, require_same, seconds, take_turns
from bench.stage import DATABASE
from retention.models import PurgeRun
from retention.operations.purge import leases, selection, steps

BATCH = 1000
SMALLER = {Scale.SMALL: 40_000, Scale.FULL: 100_000}
LARGER = {Scale.SMALL: 400_000, Scale.FULL: 10_000_000}
SMALL_DATABASE = f"{DATABASE}_claim"
AT_ONCE = 500_000
COPY_TRIES = 60

# One in twenty is due, oldest first; of these one in a hundred is held back by a request.
ROWS = """
INSERT INTO recordings_conversation (
    id, controller_id, source_id, external_id, external_id_hash, content_hash, kind, direction,
    started_at, ended_at, duration_seconds, message_count, language, tags, notice, informed_by,
    captured_at, state, destroy_after, hold_count, open_requests, kek_name, wrapped_key)
SELECT gen_random_uuid(), %(controller)s, %(source)s, '', sha256(('claim' || n)::bytea),
       '\\x00', 'call', 'inbound', at, at + interval '3 minutes', 180, 0, 'fi', '[]', '', '', at,
       'kept', at + interval '400 days', 0, (n %% 100 = 0)::int, 'kek/bench/open', '\\x00'
FROM (SELECT n, %(now)s - interval '421 days' * ((n * 7919 %% 1000003) / 1000003.0) AS at
      FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n) AS drawn
"""


def claim(centre: Centre, scale: Scale) -> Line:
    """Compare the milliseconds until a batch is found, withdrawn and begun."""
    _add(centre, 1, SMALLER[scale])
    connections.close_all()
    with psycopg.connect(_owner(centre), autocommit=True) as owner:
        owner.execute(f"DROP DATABASE IF EXISTS {SMALL_DATABASE}")
        _copy(owner)
    with _database(SMALL_DATABASE):
        _analyze()
    _add(centre, SMALLER[scale] + 1, LARGER[scale])
    _analyze()
    large, small = take_turns(partial(_claim_ms, DATABASE), partial(_claim_ms, SMALL_DATABASE))
    return compared("purge_claim_10m_vs_100k", "ms", large, small)


def _copy(owner: psycopg.Connection) -> None:
    """Copy the database, as soon as its last session, such as one that vacuums, has ended."""
    for _ in range(COPY_TRIES):
        with suppress(psycopg.errors.ObjectInUse):
            owner.execute(f"CREATE DATABASE {SMALL_DATABASE} TEMPLATE {DATABASE}")
            return
        sleep(1)
    raise WrongAnswer("Somebody else is at the database.")


def _add(centre: Centre, first: int, last: int) -> None:
    for start in range(first, last + 1, AT_ONCE):
        with connection.cursor() as cursor:
            cursor.execute(
                ROWS,
                {
                    "controller": centre.controller.pk,
                    "source": centre.source.pk,
                    "now": clock.now(),
                    "first": start,
                    "last": min(start + AT_ONCE - 1, last),
                },
            )


def _analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) recordings_conversation")


def _claim_ms(database: str, _round: int) -> float:
    """Find the next thousand and withdraw them; taken back, so that each round finds the same."""
    with _database(database):
        now = clock.now()
        run = PurgeRun(actor=ACTOR.reference, started_at=now, heartbeat_at=now)
        token = leases.new_token()

        def take() -> None:
            ids = next(selection.batches(at=now, size=lambda: BATCH))
            batch = steps.withdraw(run=run, conversation_ids=ids, token=token, actor=ACTOR, now=now)
            require_same(batch and len(batch.conversation_ids), BATCH, "Conversations claimed")

        with transaction.atomic():
            took = seconds(take)
            transaction.set_rollback(True)
        return 1000 * took


@contextmanager
def _database(name: str) -> Iterator[None]:
    settings = connections.settings["default"]
    before = settings["NAME"]
    connections.close_all()
    settings["NAME"] = name
    try:
        yield
    finally:
        connections.close_all()
        settings["NAME"] = before


def _owner(centre: Centre) -> str:
    url: str = centre.stage.environment("owner")["DATABASE_URL"]
    return url.replace(f"/{DATABASE}", "/postgres")
