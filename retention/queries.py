"""Questions about rules, what they give, what they leave out, and how purge runs stand."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet

from accounts.models import Controller, NoticedTime, PrivacyNotice, RoleAssignment, User
from accounts.roles import Role
from audit.events import INSTALLATION, EventType, Outcome
from audit.models import Event
from recordings.models import Conversation, Segment
from retention.contacts import contact_of
from retention.matching import ENDED_AT, Decision, Limit, Matchers, Terms, decide
from retention.models import (
    Certificate,
    Destruction,
    Disposition,
    PurgeRun,
    PurposeLimit,
    Recomputation,
    RetentionRule,
    RuleVersion,
)

# How many lines of a certificate are read together.
LINES_TOGETHER = 500


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
    """When the controller's rules or limits were last changed."""
    found = [
        changes.aggregate(last=Max("created_at"))["last"]
        for changes in (
            RuleVersion.objects.filter(rule__controller=controller),
            PurposeLimit.objects.filter(controller=controller),
        )
    ]
    return max((last for last in found if last is not None), default=None)


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
    """A rule with the version that speaks now, else its newest."""

    rule: RetentionRule
    version: RuleVersion
    is_in_force: bool


def rules_of(*, controllers: Collection[Controller], at: datetime) -> list[RuleRow]:
    """The controllers' rules by company and name, those retired last."""
    newest: dict[UUID, RuleVersion] = {}
    speaking: dict[UUID, RuleVersion] = {}
    versions = (
        RuleVersion.objects.filter(rule__controller__in=controllers)
        .select_related("rule__controller", "rule__purpose")
        .order_by("rule__controller__name", "rule__name", "number")
    )
    for version in versions:
        newest[version.rule_id] = version
        if version.in_force_from <= at:
            speaking[version.rule_id] = version
    rows = []
    for rule_id, last in newest.items():
        version = speaking.get(rule_id, last)
        in_force = rule_id in speaking and not version.is_retired
        rows.append(RuleRow(version.rule, version, in_force))
    return sorted(rows, key=lambda row: row.version.is_retired)


def newest_version(rule: RetentionRule) -> RuleVersion:
    """The last version of the rule, whether or not it speaks yet."""
    return rule.versions.select_related("rule").latest("number")


def limits_of(*, controllers: Collection[Controller]) -> QuerySet[PurposeLimit]:
    """The newest floors and ceilings by company and purpose."""
    return (
        PurposeLimit.objects.newest()
        .filter(controller__in=controllers)
        .select_related("controller", "purpose")
        .order_by("controller__name", "purpose__code")
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


def proposals_of(*, controllers: Collection[Controller]) -> QuerySet[Disposition]:
    """What is proposed for things that wait for a decision and not carried out, oldest first."""
    return (
        Disposition.objects.open()
        .filter(controller__in=controllers)
        .select_related("controller", "proposed_by")
        .order_by("proposed_at")
    )


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How many conversations of a run stand where."""

    begun: int = 0
    concluded: int = 0
    recalled: int = 0
    person: int = 0

    @property
    def going(self) -> int:
        """Those withdrawn whose destruction is not concluded."""
        return self.begun - self.concluded - self.recalled


def run_counts(
    runs: Collection[PurgeRun], *, controllers: Collection[Controller]
) -> dict[UUID, RunCounts]:
    """
    Count each run's destructions of these controllers by where they stand, by run.

    A run is one for the whole installation: that it took place is no secret, what it destroyed of
    another company is.
    """
    rows = (
        Destruction.objects.filter(run__in=runs, controller__in=controllers)
        .order_by()
        .values("run_id")
        .annotate(
            begun=Count("pk"),
            concluded=Count("pk", filter=Q(concluded_at__isnull=False)),
            recalled=Count("pk", filter=Q(recalled_at__isnull=False)),
            person=Count("pk", filter=Q(needs_person_at__isnull=False, concluded_at=None)),
        )
    )
    found = {
        row["run_id"]: RunCounts(row["begun"], row["concluded"], row["recalled"], row["person"])
        for row in rows
    }
    return {run.pk: found.get(run.pk, RunCounts()) for run in runs}


def destructions_of(run: PurgeRun, *, controllers: Collection[Controller]) -> QuerySet[Destruction]:
    """What the run did to conversations of these controllers, in the order it began."""
    return run.destructions.filter(controller__in=controllers).order_by("withdrawn_at", "pk")


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What was cleared away after a run, when, and whether all of it was; `store` is a code."""

    at: datetime
    tables: int
    store: str
    is_done: bool


def maintenance_of(run: PurgeRun) -> Maintenance | None:
    """The newest maintenance that followed a run, as the log has it; None before the first."""
    event = (
        Event.objects.filter(
            log=INSTALLATION, target=str(run.pk), event_type=EventType.PURGE_RUN_MAINTAINED
        )
        .order_by("-happened_at", "-id")
        .first()
    )
    if event is None:
        return None
    facts = json.loads(event.body)["x"]
    return Maintenance(
        at=event.happened_at,
        tables=facts["tables"],
        store=facts["state"],
        is_done=event.outcome == Outcome.ALLOW,
    )


def certificates_of(run: PurgeRun, *, controllers: Collection[Controller]) -> QuerySet[Certificate]:
    """The run's certificates for these controllers, sealed or awaiting their seal."""
    return (
        run.certificates.filter(controller__in=controllers)
        .select_related("controller")
        .order_by("controller__name", "number")
    )


def lines_of(certificate: Certificate, *, after: int = -1) -> Iterator[str]:
    """The lines of a certificate in the order of the log, read a few at a time."""
    reached: int | None = after
    while True:
        rows = certificate.lines.filter(leaf_index__gt=reached).order_by("leaf_index")
        page = list(rows.values_list("leaf_index", "line")[:LINES_TOGETHER])
        if not page:
            return
        yield from (line for _, line in page)
        reached = page[-1][0]


def case_handlers(controller: Controller, *, at: datetime) -> QuerySet[User]:
    """The people who have the role of a case handler at the company at that time."""
    roles = (
        RoleAssignment.objects.valid(at=at)
        .filter(Q(controller=controller) | Q(controller=None), role=Role.CASE_HANDLER)
        .values("user_id")
    )
    return User.objects.filter(pk__in=roles, is_active=True).order_by("full_name")
