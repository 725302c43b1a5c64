"""Issues the certificates of purge runs, has the log vouch for them, and ends them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Max, Q

from accounts.models import Controller
from audit import proofs
from audit.events import Actor, EventType, Target
from audit.operations import accountable, append
from recordings.models import among, uuid_array
from recordings.operations import lifecycle
from retention import certificate as documents
from retention.due_dates import due_at
from retention.models import Certificate, Destruction, Hold, PurgeRun, RuleVersion
from retention.queries import zone_of
from retention.run_queries import lines_of

ACTOR = Actor.system("certificates")
# How many lines are read and written together.
CHUNK = 1000
# Our advisory lock in PostgreSQL: one process at a time, or two would write the same lines.
_LOCK = 0x4345

_WRITE_LINES = """
UPDATE retention_destruction AS destruction
SET certificate_id = %s, leaf_index = written.leaf_index, line = written.line
FROM unnest(%s::uuid[], string_to_array(%s, ',')::bigint[], string_to_array(%s, chr(10)))
    AS written (id, leaf_index, line)
WHERE destruction.id = written.id AND destruction.certificate_id IS NULL
"""


class _NotAllSealed(Exception):
    """An event of the run waits for the sealer; nothing is issued yet."""


@dataclass(slots=True)
class Tally:
    """What one call did."""

    issued: int = 0
    sealed: int = 0


def issue_due(*, now: datetime) -> Tally:
    """
    Issue what runs have finished and the log has sealed, and seal what the log vouches for.

    What still waits for the sealer is left for the next call. Killed at any point, or twice at
    once, each conversation comes onto one certificate, and each certificate is sealed once.

    Raises `audit.trees.TreeIncomplete`.
    """
    tally = Tally()
    waiting = Destruction.objects.uncertified().filter(run__state=PurgeRun.State.FINISHED)
    for run_id, controller_id in waiting.order_by().values_list("run", "controller").distinct():
        if issue(run_id=run_id, controller_id=controller_id, now=now) is not None:
            tally.issued += 1
    for certificate in Certificate.objects.filter(seal=None):
        tally.sealed += seal(certificate=certificate, now=now)
    return tally


def issue(*, run_id: UUID, controller_id: UUID, now: datetime) -> Certificate | None:
    """
    Issue the certificate of what a finished run has destroyed of a company and none has yet.

    Returns None if there is nothing to certify, an event of it is not sealed, or another process
    is at it. What is still in the store is on none: it is counted as remaining.
    """
    try:
        with transaction.atomic():
            return _issue(run_id, controller_id, now) if _is_alone() else None
    except _NotAllSealed:
        return None


def _issue(run_id: UUID, controller_id: UUID, now: datetime) -> Certificate | None:
    run = PurgeRun.objects.get(pk=run_id)
    controller = Controller.objects.get(pk=controller_id)
    of_run = Destruction.objects.filter(run=run, controller=controller)
    waiting = list(of_run.uncertified().values_list("pk", flat=True))
    if run.state != PurgeRun.State.FINISHED or not waiting:
        return None
    before = Certificate.objects.filter(run=run, controller=controller)
    certificate = Certificate(
        run=run,
        controller=controller,
        number=(before.aggregate(last=Max("number"))["last"] or 0) + 1,
        issued_at=now,
        keep_until=due_at(
            trigger_at=now,
            months=12 * settings.CERTIFICATE_KEPT_YEARS,
            days=0,
            zone=zone_of(controller.slug),
        ),
        line_count=len(waiting),
    )
    versions: set[UUID] = set()
    objects = 0
    for chunk in _chunks(waiting):
        rows = list(Destruction.objects.filter(among("pk", chunk)).defer("line"))
        _write_lines(certificate, rows)
        objects += sum(len(row.objects_destroyed) for row in rows)
        versions.update(version for row in rows for version in row.rule_versions)
    # In one statement: what concludes meanwhile remains, and is on the next one.
    counts = of_run.aggregate(
        brought_back=Count("pk", filter=Q(recalled_at__isnull=False)),
        remaining=Count("pk", filter=Q(recalled_at=None, certificate=None)),
    )
    certificate.fields = documents.fields_of(
        certificate,
        run=run,
        counts={**counts, "destroyed": len(waiting), "object_versions": objects},
        rules=RuleVersion.objects.filter(pk__in=versions)
        .select_related("created_by", "approved_by")
        .order_by("pk"),
    )
    certificate.digest = documents.digest_of(certificate.fields, lines_of(certificate))
    certificate.save(force_insert=True)
    _say(
        EventType.CERTIFICATE_ISSUED,
        certificate,
        actor=ACTOR,
        now=now,
        conversations=certificate.line_count,
    )
    return certificate


def _write_lines(certificate: Certificate, rows: list[Destruction]) -> None:
    sealed = proofs.sealed_events(
        log=str(certificate.controller_id),
        event_type=EventType.CONVERSATION_DESTROYED,
        conversations=[row.conversation_id for row in rows],
    )
    if len(sealed) < len(rows):
        raise _NotAllSealed
    events = [sealed[row.conversation_id] for row in rows]
    lines = [documents.line_of(row, event=event) for row, event in zip(rows, events, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(
            _WRITE_LINES,
            [
                certificate.pk,
                uuid_array(row.pk for row in rows),
                ",".join(str(event.leaf_index) for event in events),
                # Canonical JSON has no line feed, and one text is escaped faster than many.
                "\n".join(lines),
            ],
        )


@transaction.atomic
def seal(*, certificate: Certificate, now: datetime) -> bool:
    """
    Give a certificate its seal, once the event that has its digest is under a signed head.

    Returns whether it was sealed now. Again gives the same seal: see `audit.proofs.witness`.

    Raises `audit.trees.TreeIncomplete`.
    """
    places = certificate.lines.order_by("leaf_index").values_list("leaf_index", flat=True)
    try:
        witness = proofs.witness(
            log=str(certificate.controller_id),
            event_type=EventType.CERTIFICATE_ISSUED,
            target=certificate.pk,
            beside=[place for place in places if place is not None],
        )
    except proofs.NotSealed:
        return False
    unsealed = Certificate.objects.filter(pk=certificate.pk, seal=None)
    return bool(unsealed.update(seal=documents.seal_of(witness), sealed_at=now))


def log_download(*, certificate: Certificate, form: str, actor: Actor, now: datetime) -> None:
    """
    Say in the company's log that a certificate is given out; it may leave when this returns.

    Raises `audit.operations.AuditUnavailable`.
    """
    with accountable():
        _say(EventType.CERTIFICATE_DOWNLOADED, certificate, actor=actor, now=now, format=form)


def delete_past(*, now: datetime) -> int:
    """
    Delete the certificates whose term is past, each with the residual records it certifies.

    Killed at any point, the next call goes on; the database refuses one before its term. Returns
    how many certificates there were.

    Source: design, law 5.
    """
    past = Certificate.objects.filter(keep_until__lte=now).order_by("keep_until")
    return sum([_delete(certificate, now) for certificate in past])


@transaction.atomic
def _delete(certificate: Certificate, now: datetime) -> bool:
    if not _is_alone() or not Certificate.objects.filter(pk=certificate.pk).exists():
        return False
    conversations = list(certificate.lines.values_list("conversation", flat=True))
    for chunk in _chunks(conversations):
        # What a hold had recalled goes first: the proof itself tells that the term is past.
        of_chunk = Destruction.objects.filter(conversation__in=chunk)
        of_chunk.filter(certificate=None).delete()
        of_chunk.delete()
        Hold.objects.filter(conversation__in=chunk).delete()
        lifecycle.delete_residual(conversation_ids=chunk)
    Certificate.objects.filter(pk=certificate.pk).delete()
    _say(
        EventType.CERTIFICATE_DELETED,
        certificate,
        actor=Actor.system("purge"),
        now=now,
        conversations=len(conversations),
    )
    return True


def _say(
    event_type: EventType,
    certificate: Certificate,
    *,
    actor: Actor,
    now: datetime,
    **more: str | int,
) -> None:
    append(
        event_type=event_type,
        actor=actor,
        now=now,
        log=certificate.controller_id,
        target=Target("certificate", str(certificate.pk)),
        facts={
            "run": certificate.run_id,
            "version": certificate.number,
            "digest": certificate.digest,
            **more,
        },
    )


def _is_alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])


def _chunks(ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    return (ids[at : at + CHUNK] for at in range(0, len(ids), CHUNK))
