"""After a purge run, has the database and the store let go of what they only marked as deleted."""

from __future__ import annotations

import logging
import time
from datetime import datetime

import urllib3
from django.conf import settings
from django.db import DatabaseError, connection, transaction

from audit.events import Actor, EventType, Outcome, Target
from audit.operations import append
from retention.models import PurgeRun
from retention.operations.purge.leases import Clock

logger = logging.getLogger(__name__)

ACTOR = Actor.system("purge")
# Those whose rows a purge deletes or empties. The last one is done only once all else is: when
# PostgreSQL last did it says whether a run has been followed by its maintenance.
TABLES = (
    "recordings_rendition",
    "recordings_dialog",
    "recordings_party",
    "recordings_segment",
    "recordings_permitteduse",
    "recordings_conversation",
    "retention_destruction",
)
LAST_TABLE = "recordings_storedobject"
# Whoever rebuilds an index meanwhile must not hold up the next run.
LOCK_TIMEOUT = "10s"
# SeaweedFS lets go of the pieces of deleted objects in the background, about once a second; a
# vacuum before that would leave them.
SETTLES_SECONDS = 5.0
STORE_TIMEOUT = urllib3.Timeout(connect=2, read=600)
# Volumes with less of deleted bytes than this share are left as they are.
GARBAGE_THRESHOLD = "0.0001"

DONE, FAILED, NOT_ASKED = "done", "failed", "not_asked"


def maintain(*, has_destroyed: bool, clock: Clock) -> bool:
    """
    Do the maintenance that the newest run calls for, if it was not done; says whether it was now.

    VACUUM of the tables a purge writes, and where the store is SeaweedFS and its master is named,
    the vacuum of its volumes. Killed half-way, or where the store does not answer, the next call
    does it again. What became of it is an event of the run, and stands on its page.

    Source: NIST SP 800-88r2 on residual data; docs/explanation/retention.md, *Residue*.
    """
    run = PurgeRun.objects.filter(state=PurgeRun.State.FINISHED).order_by("-started_at").first()
    if run is None or not (has_destroyed or _is_waiting(run)):
        return False
    store = _vacuum_store()
    cleaned = sum([_vacuum_table(table) for table in TABLES])
    is_done = store != FAILED and cleaned == len(TABLES) and _vacuum_table(LAST_TABLE)
    with transaction.atomic():
        append(
            event_type=EventType.PURGE_RUN_MAINTAINED,
            actor=ACTOR,
            now=clock(),
            log=None,
            target=Target("purge_run", str(run.pk)),
            outcome=Outcome.ALLOW if is_done else Outcome.ERROR,
            facts={"tables": cleaned + is_done, "state": store},
        )
    return True


def _is_waiting(run: PurgeRun) -> bool:
    vacuumed_at = _last_vacuum()
    return vacuumed_at is None or (run.finished_at is not None and run.finished_at > vacuumed_at)


def _last_vacuum() -> datetime | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT last_vacuum FROM pg_stat_all_tables WHERE relid = %s::regclass", [LAST_TABLE]
        )
        (at,) = cursor.fetchone()
    vacuumed_at: datetime | None = at
    return vacuumed_at


def _vacuum_table(table: str) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
            try:
                cursor.execute(f'VACUUM (PARALLEL 0) "{table}"')
            finally:
                cursor.execute("RESET lock_timeout")
    except DatabaseError as error:
        sqlstate = getattr(error.__cause__, "sqlstate", None)
        logger.error("%s could not be vacuumed: SQLSTATE %s", table, sqlstate)
        return False
    return True


def _vacuum_store() -> str:
    if not settings.SEAWEEDFS_MASTER_URL:
        return NOT_ASKED
    time.sleep(SETTLES_SECONDS)
    url = f"{settings.SEAWEEDFS_MASTER_URL.rstrip('/')}/vol/vacuum"
    try:
        with urllib3.PoolManager(retries=False, timeout=STORE_TIMEOUT) as pool:
            answer = pool.request("GET", url, fields={"garbageThreshold": GARBAGE_THRESHOLD})
    except urllib3.exceptions.HTTPError as error:
        logger.error("SeaweedFS could not be vacuumed: %s", type(error).__name__)
        return FAILED
    if answer.status != 200:
        logger.error("SeaweedFS could not be vacuumed: it answered %s", answer.status)
        return FAILED
    return DONE
