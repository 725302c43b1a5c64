"""What needs a person: the one list that page, metrics, health check and `reconcile` go by."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Min, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import Controller
from audit import arrears
from audit.events import INSTALLATION, log_name
from recordings.models import Conversation, QuarantinedItem
from retention.holding import matters_standing_still, matters_to_review
from retention.models import (
    Destruction,
    Disposition,
    Lifting,
    Matter,
    Notice,
    Proposal,
    PurgeRun,
    Recomputation,
)
from retention.timetable import task_ends

# What runs every minute, or at once, is late after so long.
PATIENCE = timedelta(minutes=15)
CERTIFICATE_PATIENCE = timedelta(hours=1)
LETTER_PATIENCE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """Of which companies it is asked (None: of all), and at what time."""

    at: datetime
    controllers: Collection[Controller] | None = None

    def of_mine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Those of the rows that belong to the companies."""
        return rows if self.controllers is None else rows.filter(controller__in=self.controllers)

    @property
    def purged_until(self) -> datetime:
        """What was due by then should be gone, by the published delay."""
        return self.at - timedelta(seconds=2 * settings.PURGE_INTERVAL_SECONDS)

    @property
    def logs(self) -> list[str] | None:
        """The logs of the companies, and the installation's."""
        if self.controllers is None:
            return None
        return [INSTALLATION, *(log_name(one.pk) for one in self.controllers)]


@dataclass(frozen=True, slots=True)
class Found:
    """How many there are, since when the oldest, and codes that name them where these are few."""

    count: int = 0
    oldest_at: datetime | None = None
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One kind of thing that needs a person. A new one is a line in KINDS.

    `page` is where to act, as the urlconf calls it, and `permission` opens that page. What
    `is_stuck` should have happened and did not; of the rest somebody has time to decide.
    """

    code: str
    name: Promise | str
    advice: Promise | str
    find: Callable[[Asked], Found]
    page: str = ""
    permission: str = "retention.read"
    is_stuck: bool = True


@dataclass(frozen=True, slots=True)
class Need:
    """What was found of one kind."""

    kind: Kind
    found: Found


def look(asked: Asked) -> list[Need]:
    """Ask for every kind, in the order of KINDS; those with nothing to find are among them."""
    return [Need(kind, kind.find(asked)) for kind in KINDS]


def needs(asked: Asked) -> list[Need]:
    """What needs a person."""
    return [need for need in look(asked) if need.found.count]


def _found(rows: QuerySet[Any], since: str | Coalesce) -> Found:
    found = rows.order_by().aggregate(count=Count("pk"), oldest=Min(since))
    return Found(found["count"], found["oldest"])


def _uncovered(asked: Asked) -> Found:
    since = Coalesce("uncovered_at", "captured_at")
    return _found(asked.of_mine(Conversation.objects.uncovered()), since)


def _quarantined(asked: Asked) -> Found:
    return _found(asked.of_mine(QuarantinedItem.objects.waiting()), "received_at")


def _proposals(asked: Asked) -> Found:
    return _found(asked.of_mine(Disposition.objects.open().filter(agreed_at=None)), "proposed_at")


def _observed(asked: Asked) -> Found:
    """What has ended and stays, since its source or company has not been released."""
    ended = Conversation.objects.kept().filter(
        destroy_after__lte=asked.at, hold_count=0, open_requests=0
    )
    is_released = Q(source__released_at__lte=asked.at, controller__rules_released_at__lte=asked.at)
    return _found(asked.of_mine(ended.exclude(is_released)), "destroy_after")


def _overdue(asked: Asked) -> Found:
    due = Conversation.objects.due(at=asked.at).filter(destroy_after__lte=asked.purged_until)
    return _found(asked.of_mine(due), "destroy_after")


def _failed(asked: Asked) -> Found:
    open_ones = Destruction.objects.open().filter(needs_person_at__isnull=False)
    return _found(asked.of_mine(open_ones), "needs_person_at")


def _unfinished(asked: Asked) -> Found:
    going = Destruction.objects.open().filter(
        needs_person_at=None, withdrawn_at__lte=asked.purged_until
    )
    return _found(asked.of_mine(going), "withdrawn_at")


def _quarantine_overdue(asked: Asked) -> Found:
    late = Q(pk__in=QuarantinedItem.objects.due(at=asked.purged_until)) | Q(
        key_destroyed_at__lte=asked.purged_until, destroyed_at=None
    )
    return _found(asked.of_mine(QuarantinedItem.objects.filter(late)), "decide_before")


def _braked(asked: Asked) -> Found:
    newest = PurgeRun.objects.order_by("-started_at").first()
    if newest is None or newest.state != PurgeRun.State.BRAKED:
        return Found()
    return Found(1, newest.started_at)


def _uncertified(asked: Asked) -> Found:
    late = Destruction.objects.uncertified().filter(
        run__finished_at__lte=asked.at - CERTIFICATE_PATIENCE,
        concluded_at__lte=asked.at - CERTIFICATE_PATIENCE,
    )
    return _found(asked.of_mine(late), "concluded_at")


def _recomputing(asked: Asked) -> Found:
    last_sign = Coalesce("heartbeat_at", "requested_at")
    silent = Recomputation.objects.open().annotate(last_sign=last_sign)
    return _found(asked.of_mine(silent.filter(last_sign__lte=asked.at - PATIENCE)), "requested_at")


def _to_review(asked: Asked) -> Found:
    return _found(asked.of_mine(matters_to_review(at=asked.at)), "review_at")


def _holds_unapplied(asked: Asked) -> Found:
    """Matters whose criteria hold what they match, and whose holds nobody is placing or lifting."""
    still = matters_standing_still(since=asked.at - PATIENCE)
    return _found(asked.of_mine(Matter.objects.filter(pk__in=still)), "opened_at")


def _liftings(asked: Asked) -> Found:
    waiting = Lifting.objects.open()
    if asked.controllers is not None:
        waiting = waiting.filter(matter__controller__in=asked.controllers)
    return _found(waiting, "proposed_at")


def _rule_proposals(asked: Asked) -> Found:
    return _found(asked.of_mine(Proposal.objects.open().of_rules()), "proposed_at")


def _releases(asked: Asked) -> Found:
    """Of companies, and of a run, which is one for the installation."""
    waiting = Proposal.objects.open().of_releases()
    if asked.controllers is not None:
        waiting = waiting.filter(Q(controller__in=asked.controllers) | Q(controller=None))
    return _found(waiting, "proposed_at")


def _unsent(asked: Asked) -> Found:
    late = Notice.objects.filter(sent_at=None, noted_at__lte=asked.at - LETTER_PATIENCE)
    return _found(asked.of_mine(late), "noted_at")


def _late_tasks(asked: Asked) -> Found:
    late = {
        task: last
        for task, (last, interval) in task_ends(at=asked.at).items()
        if asked.at - last > interval * 1.25 + timedelta(minutes=5)
    }
    return Found(len(late), min(late.values(), default=None), tuple(late))


def _unsealed(asked: Asked) -> Found:
    logs = arrears.unsealed(logs=asked.logs, until=asked.at - PATIENCE)
    return Found(len(logs), min(logs.values(), default=None))


def _unanchored(asked: Asked) -> Found:
    patience = max(PATIENCE, timedelta(seconds=3 * settings.AUDIT_ANCHOR_INTERVAL_SECONDS))
    logs = arrears.unanchored(logs=asked.logs, until=asked.at - patience)
    return Found(len(logs), min(logs.values(), default=None))


KINDS = (
    Kind(
        "failed",
        _("Destructions that failed"),
        _("Read on the run's page what stands in the way, remove it, and have it tried again."),
        _failed,
        page="retention:purge_runs",
    ),
    Kind(
        "overdue",
        _("Conversations past their end and not destroyed"),
        _("See that the timetable and the purge worker run, and why the last run was stopped."),
        _overdue,
        page="retention:purge_runs",
    ),
    Kind(
        "unfinished",
        _("Destructions begun and not finished"),
        _("See that the purge worker runs and that the object store answers."),
        _unfinished,
        page="retention:purge_runs",
    ),
    Kind(
        "braked",
        _("Purge run stopped: much larger than usual"),
        _("Look why so much is due. One person proposes its release on its page, another agrees."),
        _braked,
        page="retention:purge_runs",
    ),
    Kind(
        "late_tasks",
        _("Tasks of the timetable that were not done in time"),
        _("See that the timetable (beat), the broker and the workers run, and read their logs."),
        _late_tasks,
    ),
    Kind(
        "quarantine_overdue",
        _("Items in quarantine past their time and not destroyed"),
        _("See that the purge worker runs and that the object store answers."),
        _quarantine_overdue,
        page="recordings:quarantine",
        permission="recordings.see_quarantine",
    ),
    Kind(
        "unsealed",
        _("Logs whose events are not sealed"),
        _("See that the sealer runs, and read its log."),
        _unsealed,
        page="audit:log",
        permission="audit.read",
    ),
    Kind(
        "unanchored",
        _("Logs whose heads are not anchored"),
        _("See that the sealer runs and that the object store takes anchors."),
        _unanchored,
        page="audit:log",
        permission="audit.read",
    ),
    Kind(
        "uncertified",
        _("Conversations destroyed and on no certificate"),
        _("See that the sealer and the worker run: certificates follow the seal."),
        _uncertified,
        page="retention:purge_runs",
    ),
    Kind(
        "recomputing",
        _("Changes of rules that are not carried through"),
        _("See that the worker runs and that it reaches the keyring."),
        _recomputing,
        page="retention:rules",
    ),
    Kind(
        "holds_unapplied",
        _("Matters whose holds are not being placed or lifted"),
        _("See that the worker runs and that it reaches the keyring."),
        _holds_unapplied,
        page="retention:matters",
    ),
    Kind(
        "unsent",
        _("Reminders that could not be sent"),
        _("See that the mail server answers and that the company has a compliance officer."),
        _unsent,
    ),
    Kind(
        "uncovered",
        _("Conversations without a rule"),
        _("Make or change a rule so that it covers them; undecided, they are destroyed in time."),
        _uncovered,
        page="retention:uncovered",
        is_stuck=False,
    ),
    Kind(
        "quarantined",
        _("Items in quarantine"),
        _("Put it right at the source and deliver anew; undecided, they are destroyed in time."),
        _quarantined,
        page="recordings:quarantine",
        permission="recordings.see_quarantine",
        is_stuck=False,
    ),
    Kind(
        "proposals",
        _("Decisions that wait for a second person"),
        _("Agree, or take the proposal back."),
        _proposals,
        page="retention:uncovered",
        is_stuck=False,
    ),
    Kind(
        "liftings",
        _("Holds to be lifted that wait for a second person"),
        _("Agree, or take the proposal back."),
        _liftings,
        page="retention:matters",
        is_stuck=False,
    ),
    Kind(
        "rule_proposals",
        _("Changes of rules that wait for a second person"),
        _("Approve or refuse it, or take the proposal back."),
        _rule_proposals,
        page="retention:rules",
        is_stuck=False,
    ),
    Kind(
        "releases",
        _("Releases that wait for a second person"),
        _("Approve or refuse it, or take the proposal back."),
        _releases,
        page="retention:purge_runs",
        is_stuck=False,
    ),
    Kind(
        "to_review",
        _("Matters to be looked at again"),
        _("Look whether the reason to hold still stands, and say until when it does."),
        _to_review,
        page="retention:matters",
        is_stuck=False,
    ),
    Kind(
        "observed",
        _("Conversations past their end whose source or company is only observed"),
        _("Compare what the purge would take with what it should; two people release the source."),
        _observed,
        page="retention:purge_runs",
        is_stuck=False,
    ),
)
