"""Withdrawing and destroying keys, against plain SQL that changes the same rows."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from uuid_utils.compat import uuid7

from audit import clock
from audit.events import Actor
from audit.models import Event
from bench.centre import Centre
from bench.due import A_DAY, Due, make_due
from bench.measuring import require_same, seconds
from recordings.models import Conversation, Rendition, uuid_array
from recordings.objectstore import content_key
from retention.models import Destruction, PurgeRun
from retention.operations.purge import leases, steps

BATCH = 1000
ACTOR = Actor.system("purge")

# The same rows of the same tables, through the same triggers, by one statement each.
WITHDRAW = """
UPDATE recordings_conversation SET state = 'withdrawn', withdrawn_at = %(now)s
WHERE id = ANY(%(ids)s::uuid[]);
INSERT INTO retention_destruction (
    id, run_id, conversation_id, controller_id, kind, ended_at, destroy_after, rule_versions,
    objects_destroyed, method, line, withdrawn_at, ledger_key, lease_token, leased_until, attempts,
    problem)
SELECT gen_random_uuid(), %(run)s, id, controller_id, kind, ended_at, destroy_after,
       ARRAY[%(rule)s::uuid], '[]', 'cryptographic_erase+delete', '', %(now)s, '', 1, %(now)s, 1, ''
FROM recordings_conversation WHERE id = ANY(%(ids)s::uuid[]);
""" + (
    EVENT := """
INSERT INTO audit_event (log, about_conversation, body)
SELECT %(log)s, true, format(
    '{"act":{"ref":"system:purge","t":"system"},"ctl":"%%s","id":"%%s","obj":{"ref":"%%s",'
    '"t":"conversation"},"op":"OPERATION","out":"allow","ts":"%%s","v":1,"x":{"run":"%%s"}}',
    %(log)s, gen_random_uuid(), id,
    to_char(%(now)s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), %(run)s)
FROM unnest(%(ids)s::uuid[]) AS id;
"""
).replace("OPERATION", "conversation.withdrawn")
DESTROY_KEYS = """
DELETE FROM recordings_rendition AS rendition USING recordings_dialog AS dialog
WHERE rendition.dialog_id = dialog.id AND dialog.conversation_id = ANY(%(ids)s::uuid[]);
UPDATE recordings_dialog SET sealed_name = NULL WHERE conversation_id = ANY(%(ids)s::uuid[]);
UPDATE recordings_party SET sealed_details = NULL WHERE conversation_id = ANY(%(ids)s::uuid[]);
UPDATE recordings_conversation SET wrapped_key = NULL, kek_name = '', key_destroyed_at = %(now)s
WHERE id = ANY(%(ids)s::uuid[]);
UPDATE retention_destruction SET key_destroyed_at = %(now)s
WHERE conversation_id = ANY(%(ids)s::uuid[]);
""" + EVENT.replace("OPERATION", "content_key.destroyed")


def erase_rate(centre: Centre, count: int, _round: int) -> float:
    """Conversations a second that the purge withdraws and whose keys it destroys."""
    due = _rows(centre, count)
    with centre.stage.acting_as("purge"):
        token = leases.new_token()
        took = seconds(partial(_erase, due, token))
    _require_erased(due)
    return count / took


def plain_rate(centre: Centre, count: int, _round: int) -> float:
    """The same of SQL."""
    due = _rows(centre, count)
    run = _run()
    run.save(force_insert=True)
    values = {"run": run.pk, "log": str(centre.controller.pk), "rule": centre.rule_version}
    took = seconds(partial(_change, due, values))
    _require_erased(due)
    return count / took


def _rows(centre: Centre, count: int) -> Due:
    """Rows alone: no object is stored, for none is deleted."""
    ids = [uuid7() for _ in range(count)]
    first = clock.now().date().replace(year=clock.now().year - 2)
    keys = [content_key(ended_on=first, conversation_id=pk, part_id=uuid7()) for pk in ids]
    assert count <= A_DAY * 2
    return make_due(centre, count, objects=Due(ids, [(key, key[-12:]) for key in keys]))


def _run() -> PurgeRun:
    now = clock.now()
    return PurgeRun(actor=ACTOR.reference, started_at=now, heartbeat_at=now)


def _erase(due: Due, token: int) -> None:
    run = _run()
    for ids in _batches(due.ids):
        batch = steps.withdraw(
            run=run, conversation_ids=ids, token=token, actor=ACTOR, now=clock.now()
        )
        assert batch is not None
        steps.destroy_keys(batch=batch, actor=ACTOR, now=clock.now())


def _change(due: Due, values: dict[str, Any]) -> None:
    for ids in _batches(due.ids):
        for script in (WITHDRAW, DESTROY_KEYS):
            with transaction.atomic(), connection.cursor() as cursor:
                told = {**values, "ids": uuid_array(ids), "now": clock.now()}
                cursor.execute(script, told)


def _batches(ids: list[UUID]) -> list[list[UUID]]:
    return [ids[start : start + BATCH] for start in range(0, len(ids), BATCH)]


def _require_erased(due: Due) -> None:
    of_due = Conversation.objects.filter(pk__in=due.ids, state="withdrawn", wrapped_key=None)
    require_same(of_due.count(), len(due.ids), "Conversations without a key")
    lines = Destruction.objects.filter(conversation__in=due.ids, key_destroyed_at__isnull=False)
    require_same(lines.count(), len(due.ids), "Lines of destruction")
    events = Event.objects.filter(
        conversation__in=due.ids,
        event_type__in=["conversation.withdrawn", "content_key.destroyed"],
    )
    require_same(events.count(), 2 * len(due.ids), "Events")
    left = Rendition.objects.filter(dialog__conversation__in=due.ids).count()
    require_same(left, 0, "Waveforms left")
