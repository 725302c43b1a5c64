"""Questions about rules, what they give, and what they leave out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Exists, Max, OuterRef, Q, QuerySet

from accounts.models import (
    Controller,
    NoticedTime,
    PrivacyNotice,
    Purpose,
    RoleAssignment,
    User,
)
from accounts.roles import Role
from recordings.models import Conversation, PermittedUse, Segment
from retention.contacts import contact_of
from retention.matching import ENDED_AT, Decision, Limit, Matchers, Terms, decide
from retention.models import (
    Disposition,
    Proposal,
    PurposeLimit,
    Recomputation,
    RetentionRule,
    RuleVersion,
)


@dataclass(frozen=True, slots=True)
class RuleBook:
    """
    What a controller's rules say at one time, as plain values.

    `terms` are in force, `earlier` were before. `noticed_months` is what privacy notices state, by
    version of the notice and purpose. Of business events those count that were known at
    `events_at`, or all that have arrived.
    """

    terms: tuple[Terms, ...]
    earlier: tuple[Terms, ...]
    limits: Mapping[UUID, Limit]
    noticed_months: Mapping[str, Mapping[UUID, int]]
    zone: ZoneInfo
    events_at: datetime | None = None

    @property
    def asks_for_events(self) -> bool:
        """Whether any time is counted from what happens to a contract or a claim."""
        return any(terms.trigger != ENDED_AT for terms in (*self.terms, *self.earlier))


def zone_of(controller_slug: str) -> ZoneInfo:
    """The time zone that the controller's times are counted and shown in."""
    return ZoneInfo(Controller.objects.get(slug=controller_slug).time_zone)


def terms_of(version: RuleVersion, *, in_force_until: datetime | None = None) -> Terms:
    """The version as matching sees it, which speaks until then."""
    return Terms(
        version=version.pk,
        purpose=version.rule.purpose_id,
        kinds=frozenset(version.kinds),
        teams=frozenset(version.teams),
        queues=frozenset(version.queues),
        directions=frozenset(version.directions),
        outcomes=frozenset(version.outcomes),
        languages=frozenset(version.languages),
        tags=frozenset(version.tags),
        shortest_seconds=version.shortest_seconds,
        longest_seconds=version.longest_seconds,
        is_exclusion=version.is_exclusion,
        trigger=version.trigger,
        keep_months=version.keep_months,
        keep_days=version.keep_days,
        cap_months=version.cap_months,
        has_article_9_condition=bool(version.article_9_condition),
        cites_statute=bool(version.statute),
        in_force_from=version.in_force_from,
        in_force_until=in_force_until,
    )


def rule_book(
    *, controller: Controller, at: datetime, events_at: datetime | None = None
) -> RuleBook:
    """Read the rule versions in force at that time and before, the limits and the notices."""
    limits = {
        limit.purpose_id: Limit(limit.floor_months, limit.ceiling_months)
        for limit in PurposeLimit.objects.in_force(at=at).filter(controller=controller)
    }
    noticed_months: dict[str, dict[UUID, int]] = {}
    times = NoticedTime.objects.filter(notice__controller=controller, notice__recorded_at__lte=at)
    for time in times.select_related("notice"):
        noticed_months.setdefault(time.notice.version, {})[time.purpose_id] = time.months
    terms = _terms_until(controller=controller, at=at)
    return RuleBook(
        terms=tuple(one for one in terms if one.in_force_until is None),
        earlier=tuple(one for one in terms if one.in_force_until is not None),
        limits=limits,
        noticed_months=noticed_months,
        zone=ZoneInfo(controller.time_zone),
        events_at=events_at,
    )


def _terms_until(*, controller: Controller, at: datetime) -> list[Terms]:
    """What each version says that has spoken by then, with the time when another took its place."""
    terms = []
    until: dict[UUID, datetime] = {}
    versions = (
        RuleVersion.objects.begun(at=at)
        .filter(rule__controller=controller)
        .select_related("rule")
        .order_by("-number")
    )
    for version in versions:
        replaced_at = until.get(version.rule_id)
        if replaced_at is None or version.in_force_from < replaced_at:
            if not version.is_retired:
                terms.append(terms_of(version, in_force_until=replaced_at))
            until[version.rule_id] = version.in_force_from
    return terms


def last_change(controller: Controller) -> datetime | None:
    """
    When what is kept was last asked to be covered anew, because other rules were in force.

    What was approved and does not speak yet is no change.
    """
    found = Recomputation.objects.filter(controller=controller).aggregate(last=Max("requested_at"))
    last: datetime | None = found["last"]
    return last


def decisions_for(conversation: Conversation, *, book: RuleBook) -> tuple[Decision, ...]:
    """What the rules give for the conversation, per purpose."""
    return decide(
        contact=contact_of(conversation, book=book),
        versions=book.terms,
        earlier=book.earlier,
        limits=book.limits,
    )


def spoken_of(one: Matchers) -> Q:
    """Say which conversations these matchers speak of; an empty Q says all."""
    matches = Q()
    if one.kinds:
        matches &= Q(kind__in=one.kinds)
    if one.teams or one.queues:
        segments = Segment.objects.filter(conversation=OuterRef("pk"))
        if one.teams:
            segments = segments.filter(team__in=one.teams)
        if one.queues:
            segments = segments.filter(queue__in=one.queues)
        matches &= Q(Exists(segments))
    return matches


def matched_by(*, controller: Controller, terms: Collection[Terms]) -> QuerySet[Conversation]:
    """The kept conversations of the controller that one of the terms speaks of."""
    condition = Q(pk__in=[])
    for one in terms:
        matches = _matches(one)
        condition = (condition | matches) if matches else ~Q(pk__in=[])
    return Conversation.objects.kept().filter(controller=controller).filter(condition)


def _matches(terms: Terms) -> Q:
    """What `retention.matching.mismatch` says, in SQL; empty for what speaks of everything."""
    matches = spoken_of(terms)
    if terms.directions:
        matches &= Q(direction__in=terms.directions)
    if terms.shortest_seconds is not None:
        matches &= Q(duration_seconds__gte=terms.shortest_seconds)
    if terms.longest_seconds is not None:
        matches &= Q(duration_seconds__lte=terms.longest_seconds)
    if terms.outcomes:
        matches &= Q(outcome__in=terms.outcomes)
    if terms.languages:
        languages = Q()
        for one in terms.languages:
            languages |= Q(language__iexact=one) | Q(language__istartswith=f"{one}-")
        matches &= languages
    if terms.tags:
        matches &= Q(tags__has_any_keys=list(terms.tags))
    return matches


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule with the version that speaks now, else its newest; and those that will speak."""

    rule: RetentionRule
    version: RuleVersion
    is_in_force: bool
    waiting: tuple[RuleVersion, ...]


def rules_of(*, controllers: Collection[Controller], at: datetime) -> list[RuleRow]:
    """The controllers' rules by company and name, those retired last."""
    newest: dict[UUID, RuleVersion] = {}
    speaking: dict[UUID, RuleVersion] = {}
    waiting: dict[UUID, list[RuleVersion]] = {}
    versions = RuleVersion.objects.filter(rule__controller__in=controllers).select_related(
        "rule__controller", "rule__purpose"
    )
    for version in versions.filter(taken_back_at=None).order_by(
        "rule__controller__name", "rule__name", "number"
    ):
        newest[version.rule_id] = version
        if version.in_force_from <= at:
            speaking[version.rule_id] = version
    for version in versions.waiting(at=at).order_by("in_force_from"):
        waiting.setdefault(version.rule_id, []).append(version)
    rows = []
    for rule_id, last in newest.items():
        version = speaking.get(rule_id, last)
        in_force = rule_id in speaking and not version.is_retired
        later = tuple(one for one in waiting.get(rule_id, ()) if one != version)
        rows.append(RuleRow(version.rule, version, in_force, later))
    return sorted(rows, key=lambda row: row.version.is_retired)


def newest_version(rule: RetentionRule) -> RuleVersion:
    """The last version of the rule that stands, whether or not it speaks yet."""
    versions = rule.versions.select_related("rule")
    standing = versions.filter(taken_back_at=None).order_by("-number").first()
    return standing or versions.latest("number")


def limits_of(*, controllers: Collection[Controller], at: datetime) -> QuerySet[PurposeLimit]:
    """The floors and ceilings in force by company and purpose."""
    return (
        PurposeLimit.objects.in_force(at=at)
        .filter(controller__in=controllers)
        .select_related("controller", "purpose")
        .order_by("controller__name", "purpose__code")
    )


def newest_limit(*, controller: Controller, purpose: Purpose) -> PurposeLimit | None:
    """The last limit of the purpose that stands, whether or not it speaks yet."""
    limits = PurposeLimit.objects.filter(controller=controller, purpose=purpose)
    return limits.filter(taken_back_at=None).order_by("-number").first()


def used_for(purpose: Purpose, *, controller: Controller) -> QuerySet[Conversation]:
    """What is kept of the controller and has a use for the purpose by a rule."""
    uses = PermittedUse.objects.filter(
        conversation=OuterRef("pk"),
        purpose=purpose,
        authority_kind=PermittedUse.AuthorityKind.RULE,
    )
    return Conversation.objects.kept().filter(Exists(uses), controller=controller)


def proposals_of(
    *, controllers: Collection[Controller], deeds: Collection[Proposal.Deed]
) -> QuerySet[Proposal]:
    """The proposals about these companies that await a second person, oldest first."""
    return (
        Proposal.objects.open()
        .filter(controller__in=controllers, deed__in=deeds)
        .select_related("controller", "purpose", "proposed_by")
        .order_by("proposed_at")
    )


def notices_of(*, controllers: Collection[Controller]) -> QuerySet[PrivacyNotice]:
    """The privacy notices by company, the newest first, with the times they state."""
    return (
        PrivacyNotice.objects.filter(controller__in=controllers)
        .select_related("controller")
        .prefetch_related("times__purpose")
        .order_by("controller__name", "-in_force_from")
    )


def recomputations_of(*, controllers: Collection[Controller]) -> QuerySet[Recomputation]:
    """The re-computations of uses under way."""
    return (
        Recomputation.objects.open().filter(controller__in=controllers).select_related("controller")
    )


def uncovered(*, controllers: Collection[Controller]) -> QuerySet[Conversation]:
    """What no rule covers, first captured first."""
    return (
        Conversation.objects.uncovered()
        .filter(controller__in=controllers)
        .select_related("controller")
        .order_by("captured_at", "pk")
    )


def team_names(conversation_ids: Collection[UUID]) -> dict[UUID, str]:
    """The name of the first team that served each of the conversations, where one did."""
    segments = Segment.objects.filter(
        conversation__in=conversation_ids, team__isnull=False
    ).order_by("-from_at")
    return dict(segments.values_list("conversation_id", "team__name"))


def decide_before(conversation: Conversation) -> datetime:
    """Until when somebody must decide about a conversation that no rule covers."""
    return conversation.destroy_after or conversation.captured_at + timedelta(
        days=settings.UNCOVERED_DECIDE_DAYS
    )


def dispositions_of(*, controllers: Collection[Controller]) -> QuerySet[Disposition]:
    """What is proposed for things that wait for a decision and not carried out, oldest first."""
    return (
        Disposition.objects.open()
        .filter(controller__in=controllers)
        .select_related("controller", "proposed_by")
        .order_by("proposed_at")
    )


def case_handlers(controller: Controller, *, at: datetime) -> QuerySet[User]:
    """The people who have the role of a case handler at the company at that time."""
    roles = (
        RoleAssignment.objects.valid(at=at)
        .filter(Q(controller=controller) | Q(controller=None), role=Role.CASE_HANDLER)
        .values("user_id")
    )
    return User.objects.filter(pk__in=roles, is_active=True).order_by("full_name")
