"""Says in sentences what rules and explanations say in values, in the language of the reader."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import Purpose, Queue, Source, Team, User
from recordings.models import Conversation
from retention.explanation import Bar, Explanation, MatchedRule, Next, Why
from retention.holding import Description
from retention.matching import Matchers, Mismatch
from retention.models import Proposal, RuleVersion


def keeps(version: RuleVersion) -> str:
    """How long the version keeps, such as “6 months 10 days”, and from what it counts."""
    if version.is_exclusion:
        return _("Excluded: never used for this purpose")
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
    time = " ".join(parts)
    if version.cap_months is None:
        return time
    return ngettext(
        "%(time)s from: %(trigger)s, at most %(count)d month",
        "%(time)s from: %(trigger)s, at most %(count)d months",
        version.cap_months,
    ) % {
        "time": time,
        "trigger": version.get_trigger_display(),
        "count": version.cap_months,
    }


def names_of(matchers: Collection[Matchers]) -> dict[UUID, str]:
    """The names of the teams and queues that rules or criteria speak of, by id."""
    teams = Team.objects.filter(pk__in={pk for one in matchers for pk in one.teams})
    queues = Queue.objects.filter(pk__in={pk for one in matchers for pk in one.queues})
    return {row.pk: row.name for rows in (teams, queues) for row in rows}


def applies_to(version: RuleVersion, *, names: Mapping[UUID, str]) -> str:
    """Which conversations the version speaks of; `names` as `names_of` gives them."""
    directions = dict(Conversation.Direction.choices)
    said = [
        ", ".join(str(directions.get(one, one)) for one in version.directions),
        _duration(version),
        _listed(_("outcome: %(names)s"), version.outcomes),
        _listed(_("language: %(names)s"), version.languages),
        _listed(_("tags: %(names)s"), version.tags),
    ]
    kinds, *served = _matched(version, names)
    return " · ".join(part for part in (kinds, *said, *served) if part) or _("Every conversation")


def _matched(matchers: Matchers, names: Mapping[UUID, str]) -> list[str]:
    kinds = dict(Conversation.Kind.choices)
    return [
        ", ".join(str(kinds.get(kind, kind)) for kind in matchers.kinds),
        _joined(_("teams: %(names)s"), matchers.teams, names),
        _joined(_("queues: %(names)s"), matchers.queues, names),
    ]


def terms_in_words(version: RuleVersion, *, names: Mapping[UUID, str]) -> dict[str, str]:
    """What the version says, by what it is called."""
    return {
        _("Applies to"): applies_to(version, names=names),
        _("Keeps"): keeps(version),
        _("Legal basis"): str(version.get_legal_basis_display()) if version.legal_basis else "",
        _("Statute that demands it"): version.statute,
        _("Condition of Art. 9"): version.article_9_condition,
    }


def limits_in_words(said: Mapping[str, Any]) -> dict[str, str]:
    """What a limit says, by what it is called."""
    return {
        str(label): "" if said[name] is None else str(said[name])
        for name, label in (
            ("floor_months", gettext_lazy("Floor, months")),
            ("ceiling_months", gettext_lazy("Ceiling, months")),
            ("source", gettext_lazy("Rests on")),
        )
    }


def title_of(proposal: Proposal) -> str:
    """What is proposed, in a few words."""
    what = proposal.name
    if proposal.deed == Proposal.Deed.SET_LIMIT:
        what = str(proposal.purpose)
    elif proposal.run is not None:
        what = moment(proposal.run.started_at)
    return f"{proposal.get_deed_display()}: {what}"


def _joined(text: str, ids: Collection[UUID], names: Mapping[UUID, str]) -> str:
    return _listed(text, [names.get(pk, _("unknown")) for pk in ids])


def _listed(text: str, words: Collection[str]) -> str:
    return text % {"names": ", ".join(words)} if words else ""


def _duration(version: RuleVersion) -> str:
    shortest, longest = version.shortest_seconds, version.longest_seconds
    if shortest is not None and longest is not None:
        return _("%(shortest)d to %(longest)d s") % {"shortest": shortest, "longest": longest}
    if shortest is not None:
        return _("at least %(shortest)d s") % {"shortest": shortest}
    return _("at most %(longest)d s") % {"longest": longest} if longest is not None else ""


def criterion_says(one: Description, *, names: Mapping[UUID, str]) -> str:
    """What is held by the criterion, its conditions one after the other."""
    parts = [part for part in _matched(one, names) if part]
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
        Next.UNCOVERED: _(
            "No rule covers it: it is closed to everybody, and destroyed unless somebody decides."
        ),
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
        Mismatch.DIRECTION: _("it speaks of another direction"),
        Mismatch.DURATION: _("it speaks of a longer or shorter duration"),
        Mismatch.OUTCOME: _("it speaks of another outcome"),
        Mismatch.LANGUAGE: _("it speaks of another language"),
        Mismatch.TAGS: _("it speaks of tags that this does not bear"),
        Mismatch.TEAM_OR_QUEUE: _("it speaks of other teams or queues"),
    }[reason]


def how_it_counts(rule: MatchedRule) -> list[str]:
    """What else there is to say of how the rule came to its end, in short pieces."""
    said = []
    if rule.excludes:
        said.append(_("excludes it from this purpose, but for what the floor demands"))
    elif rule.trigger != RuleVersion.Trigger.ENDED_AT and rule.cap_at is not None:
        event = RuleVersion.Trigger(rule.trigger).label
        if rule.counted_from is None:
            said.append(
                _("%(event)s: not yet; ends at its cap %(at)s until it comes")
                % {"event": event, "at": moment(rule.cap_at)}
            )
        else:
            said.append(
                _("%(event)s: counted from %(from)s, at most until %(at)s")
                % {
                    "event": event,
                    "from": moment(rule.counted_from),
                    "at": moment(rule.cap_at),
                }
            )
    if rule.not_until is not None:
        said.append(
            _(
                "would last until %(at)s, but is newer than the conversation; neither a statute "
                "nor the privacy notice of that time states so long, so the earlier end stays"
            )
            % {"at": moment(rule.not_until)}
        )
    if rule.statute:
        said.append(_("statute: %(statute)s") % {"statute": rule.statute})
    if rule.lacks_article_9_condition:
        said.append(_("set aside: it names no condition of Art. 9, and this may hold health data"))
    return said


def purpose_names() -> dict[str, str]:
    """The names of the purposes by code."""
    return {purpose.code: str(purpose) for purpose in Purpose.objects.all()}


def moment(at: datetime) -> str:
    """A time as pages show it, on the clock of the reader's zone."""
    return date_format(localtime(at), "SHORT_DATETIME_FORMAT")
