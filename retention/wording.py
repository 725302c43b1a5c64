"""Says in sentences what rules and explanations say in values, in the language of the reader."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Purpose, Queue, Source, Team, User
from recordings.models import Conversation
from retention.explanation import Explanation, Next
from retention.holding import Description
from retention.matching import Matchers, Mismatch
from retention.models import RuleVersion


def keeps(version: RuleVersion) -> str:
    """How long the version keeps, such as “6 months 10 days”."""
    parts = []
    if version.keep_months:
        parts.append(
            ngettext("%(count)d month", "%(count)d months", version.keep_months)
            % {"count": version.keep_months}
        )
    if version.keep_days:
        parts.append(
            ngettext("%(count)d day", "%(count)d days", version.keep_days)
            % {"count": version.keep_days}
        )
    return " ".join(parts)


def names_of(matchers: Collection[Matchers]) -> dict[UUID, str]:
    """The names of the teams and queues that rules or criteria speak of, by id."""
    teams = Team.objects.filter(pk__in={pk for one in matchers for pk in one.teams})
    queues = Queue.objects.filter(pk__in={pk for one in matchers for pk in one.queues})
    return {row.pk: row.name for rows in (teams, queues) for row in rows}


def applies_to(version: Matchers, *, names: Mapping[UUID, str]) -> str:
    """Which conversations the version speaks of; `names` as `names_of` gives them."""
    kinds = dict(Conversation.Kind.choices)
    parts = [
        ", ".join(str(kinds.get(kind, kind)) for kind in version.kinds),
        _joined(_("teams: %(names)s"), version.teams, names),
        _joined(_("queues: %(names)s"), version.queues, names),
    ]
    return " · ".join(part for part in parts if part) or _("Every conversation")


def _joined(text: str, ids: Collection[UUID], names: Mapping[UUID, str]) -> str:
    if not ids:
        return ""
    return text % {"names": ", ".join(names.get(pk, _("unknown")) for pk in ids)}


def criterion_says(one: Description, *, names: Mapping[UUID, str]) -> str:
    """What is held by the criterion, its conditions one after the other."""
    parts = [applies_to(one, names=names)] if one.kinds or one.teams or one.queues else []
    if one.source_id is not None:
        source = Source.objects.get(pk=one.source_id)
        parts.append(_("source: %(name)s") % {"name": source.name})
    if one.ended_from is not None:
        parts.append(_("ended from %(at)s on") % {"at": moment(one.ended_from)})
    if one.ended_until is not None:
        parts.append(_("ended before %(at)s") % {"at": moment(one.ended_until)})
    if one.agent is not None:
        agent = User.objects.filter(reference=one.agent).first()
        parts.append(_("agent: %(name)s") % {"name": agent or _("unknown")})
    if one.customer_hash is not None:
        parts.append(_("one customer, known by a keyed hash"))
    return " · ".join(parts)


def happens_next(explanation: Explanation) -> str:
    """What will happen to the conversation next, in one sentence."""
    sentences = {
        Next.GONE: _("It was destroyed when its time had ended; this is its residual record."),
        Next.GOING: _("It is withdrawn: nobody reaches it, and it is being destroyed."),
        Next.HELD: _("It is held: nothing destroys it until the last hold is lifted."),
        Next.REQUEST_OPEN: _(
            "A data subject's request is open: it is not destroyed until that is closed."
        ),
        Next.UNCOVERED: _("No rule covers it: it is closed to everybody until somebody decides."),
        Next.OBSERVED: _(
            "Its source or company is only observed: nothing of it is destroyed until released."
        ),
        Next.DUE: _("Its time has ended: the next purge run destroys it."),
    }
    if explanation.next is Next.ENDS and explanation.destroy_after is not None:
        return _("Its time ends %(at)s; the first purge run after that destroys it.") % {
            "at": moment(explanation.destroy_after)
        }
    return sentences.get(explanation.next, "")


def why_not(reason: Mismatch) -> str:
    """Why a rule does not speak of a conversation."""
    return {
        Mismatch.KIND: _("it speaks of another kind"),
        Mismatch.TEAM_OR_QUEUE: _("it speaks of other teams or queues"),
    }[reason]


def purpose_names() -> dict[str, str]:
    """The names of the purposes by code."""
    return {purpose.code: str(purpose) for purpose in Purpose.objects.all()}


def moment(at: datetime) -> str:
    """A time as pages show it, on the clock of the reader's zone."""
    return date_format(localtime(at), "SHORT_DATETIME_FORMAT")
