"""Says in sentences what rules and explanations say in values, in the language of the reader."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Purpose, Queue, Team
from recordings.models import Conversation
from retention.explanation import Bar, Explanation, Next, Why
from retention.matching import Mismatch
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


def names_of(versions: Collection[RuleVersion]) -> dict[UUID, str]:
    """The names of the teams and queues that the versions speak of, by id."""
    teams = Team.objects.filter(pk__in={pk for version in versions for pk in version.teams})
    queues = Queue.objects.filter(pk__in={pk for version in versions for pk in version.queues})
    return {row.pk: row.name for rows in (teams, queues) for row in rows}


def applies_to(version: RuleVersion, *, names: Mapping[UUID, str]) -> str:
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
        Next.BRAKED: _("Its time has ended; purge runs are stopped by the brake."),
        Next.DUE: _("Its time has ended: the next purge run destroys it."),
    }
    if explanation.next is Next.ENDS and explanation.destroy_after is not None:
        return _("Its time ends %(at)s; the first purge run after that destroys it.") % {
            "at": moment(explanation.destroy_after)
        }
    return sentences.get(explanation.next, "")


def bars(explanation: Explanation) -> list[str]:
    """What keeps the conversation from being destroyed, each in a few words."""
    words = {
        Bar.HOLD: _("held"),
        Bar.REQUEST: _("open request of a data subject"),
        Bar.SOURCE_OBSERVED: _("its source is only observed"),
        Bar.COMPANY_OBSERVED: _("its company is only observed"),
        Bar.BRAKE: _("the brake has stopped purge runs"),
    }
    return [words[bar] for bar in explanation.barred_by]


def why(reason: Why | None) -> str:
    """Why the version that decides does."""
    return {
        None: "",
        Why.ONLY: _("no other could"),
        Why.LONGEST: _("it keeps longest"),
        Why.OLDER: _("another keeps as long, this is the older"),
    }[reason]


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
