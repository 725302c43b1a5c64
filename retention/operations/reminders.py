"""Tells compliance officers what waits for a decision, each thing once at 30, 14, 7, 1, 0 days."""

from __future__ import annotations

from datetime import datetime, timedelta
from smtplib import SMTPException
from uuid import UUID

import structlog
from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import connection, transaction
from django.db.models import Count, Max, Min, QuerySet

from accounts.models import Controller, RoleAssignment, User
from accounts.roles import Role
from audit.events import Actor, EventType, FactValue, NewEvent, Target
from audit.operations import append, append_many
from recordings.models import Conversation, QuarantinedItem
from retention import letters
from retention.models import About, Notice

ACTOR = Actor.system("reminder")
DAYS_LEFT = (settings.UNCOVERED_DECIDE_DAYS, 14, 7, 1, 0)
# What is captured is committed a little after the time that its deadline was counted from.
SETTLES = timedelta(hours=1)
LONG_AGO = datetime.fromisoformat("2000-01-01T00:00:00Z")
_LOCK = 0x4E4F
BATCH_SIZE = 500

logger = structlog.get_logger("tallenne.notices")


@transaction.atomic
def give_deadlines(*, now: datetime) -> int:
    """
    Give some of what has no end at all the time to decide, from now on. Returns how many.

    Such are conversations from before there was a deadline, and whatever SQL left without one.
    """
    rows = Conversation.objects.kept().filter(destroy_after=None).only("controller_id")
    endless = list(rows.select_for_update(no_key=True, skip_locked=True)[:BATCH_SIZE])
    until = now + timedelta(days=settings.UNCOVERED_DECIDE_DAYS)
    Conversation.objects.filter(pk__in=[row.pk for row in endless]).update(
        destroy_after=until, uncovered_at=now
    )
    append_many(
        events=[
            NewEvent(
                event_type=EventType.CONVERSATION_COVERED,
                actor=ACTOR,
                now=now,
                log=row.controller_id,
                target=Target("conversation", str(row.pk)),
                facts={"uses": 0, "reason": "no_rule", "destroy_after": until},
            )
            for row in endless
        ]
    )
    return len(endless)


def note_due(*, now: datetime) -> list[Notice]:
    """
    Note whom to tell of what, for all companies: once, however many do this at the same time.

    A notice, its count and its event are one transaction; the letters go out later.
    """
    return [
        notice
        for controller in Controller.objects.all()
        for about in About
        for notice in _note(controller=controller, about=about, now=now)
    ]


@transaction.atomic
def _note(*, controller: Controller, about: About, now: datetime) -> list[Notice]:
    _alone(controller.pk)
    noted = Notice.objects.filter(controller=controller, about=about).order_by()
    reached: dict[int, datetime] = dict(
        noted.values("days_left").annotate(last=Max("until_at")).values_list("days_left", "last")
    )
    made = []
    fewer_until = LONG_AGO
    for days in sorted(DAYS_LEFT):
        after = max(reached.get(days, LONG_AGO), fewer_until)
        until = now + timedelta(days=days)
        if days == max(DAYS_LEFT):
            until -= SETTLES
        fewer_until = until
        found = _waiting(about, controller, after=after, until=until, is_over=days == 0)
        if found is None:
            continue
        count, first = found
        notice = Notice.objects.create(
            controller=controller,
            about=about,
            days_left=days,
            after_at=after,
            until_at=until,
            count=count,
            first_before=first,
            noted_at=now,
        )
        facts: dict[str, FactValue] = {
            "kind": about.value,
            "days": days,
            "count": count,
            "until": first,
        }
        append(
            event_type=EventType.DECISION_REMINDED,
            actor=ACTOR,
            now=now,
            log=controller.pk,
            target=Target("notice", str(notice.pk)),
            facts=facts,
        )
        made.append(notice)
    return made


def _waiting(
    about: About, controller: Controller, *, after: datetime, until: datetime, is_over: bool
) -> tuple[int, datetime] | None:
    """How many have their deadline in that time, and the first; over, also those destroyed."""
    rows: QuerySet[Conversation] | QuerySet[QuarantinedItem]
    if about is About.CONVERSATION:
        field = "destroy_after"
        rows = Conversation.objects.filter(uncovered_at__isnull=False)
        if not is_over:
            rows = rows.filter(state=Conversation.State.KEPT)
    else:
        field = "decide_before"
        rows = QuarantinedItem.objects.all()
        if not is_over:
            rows = rows.filter(key_destroyed_at=None)
    found = rows.filter(
        controller=controller, **{f"{field}__gt": after, f"{field}__lte": until}
    ).aggregate(count=Count("pk"), first=Min(field))
    return (found["count"], found["first"]) if found["count"] else None


def _alone(controller_id: UUID) -> None:
    part = int.from_bytes(controller_id.bytes[-4:], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, part])


def send_waiting(*, now: datetime) -> int:
    """
    Send the letters that have been noted and not sent. Returns how many notices went out.

    A mail server that is away, or a company without a compliance officer, leaves them waiting:
    after an hour that needs a person.
    """
    sent = 0
    for notice_id in list(Notice.objects.filter(sent_at=None).values_list("pk", flat=True)):
        try:
            sent += _send(notice_id, now=now)
        except (OSError, SMTPException) as error:
            # The text of a mail server's refusal can hold an address.
            logger.warning("notices_not_sent", error=type(error).__name__)
            return sent
    return sent


@transaction.atomic
def _send(notice_id: UUID, *, now: datetime) -> bool:
    """Send one, unless somebody else does; a crash just after it sends it again, not never."""
    rows = Notice.objects.filter(pk=notice_id, sent_at=None).select_related("controller")
    notice = rows.select_for_update(skip_locked=True, of=("self",)).first()
    officers = officers_of(notice.controller, at=now) if notice else []
    if notice is None or not officers:
        return False
    with get_connection() as post:
        for officer in officers:
            letter = letters.reminder(notice, language=officer.language)
            EmailMessage(letter.subject, letter.text, to=[officer.email], connection=post).send()
    notice.sent_at = now
    notice.save(update_fields=["sent_at"])
    return True


def officers_of(controller: Controller, *, at: datetime) -> list[User]:
    """The compliance officers of the company at that time."""
    roles = RoleAssignment.objects.valid(at=at).filter(role=Role.COMPLIANCE_OFFICER)
    hers = roles.filter(controller=controller) | roles.filter(controller=None)
    return list(User.objects.filter(pk__in=hers.values("user_id"), is_active=True))
