"""Questions about rules, what they give, what they leave out, and how purge runs stand."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet

from accounts.models import Controller, RoleAssignment, User
from accounts.roles import Role
from recordings.models import Conversation, Segment
from retention.contacts import contact_of
from retention.matching import Decision, Limit, Terms, decide
from retention.models import (
    Certificate,
    Destruction,
    Matter,
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
    """What a controller's rules say at one time, as plain values."""

    terms: tuple[Terms, ...]
    limits: Mapping[UUID, Limit]
    zone: ZoneInfo


def zone_of(controller_slug: str) -> ZoneInfo:
    """The time zone that the controller's times are counted and shown in."""
    return ZoneInfo(Controller.objects.get(slug=controller_slug).time_zone)


def terms_of(version: RuleVersion) -> Terms:
    """The version as matching sees it."""
    return Terms(
        version=version.pk,
        purpose=version.rule.purpose_id,
        kinds=frozenset(version.kinds),
        teams=frozenset(version.teams),
        queues=frozenset(version.queues),
        keep_months=version.keep_months,
        keep_days=version.keep_days,
        has_article_9_condition=bool(version.article_9_condition),
    )


def rule_book(*, controller: Controller, at: datetime) -> RuleBook:
    """Read the rule versions and the limits in force at that time."""
    versions = (
        RuleVersion.objects.in_force(at=at)
        .filter(rule__controller=controller)
        .select_related("rule")
    )
    limits = {
        limit.purpose_id: Limit(limit.floor_months, limit.ceiling_months)
        for limit in PurposeLimit.objects.in_force(at=at).filter(controller=controller)
    }
    return RuleBook(
        terms=tuple(terms_of(version) for version in versions),
        limits=limits,
        zone=ZoneInfo(controller.time_zone),
    )


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
        contact=contact_of(conversation, zone=book.zone), versions=book.terms, limits=book.limits
    )


def matched_by(*, controller: Controller, terms: Collection[Terms]) -> QuerySet[Conversation]:
    """The kept conversations of the controller that one of the terms speaks of."""
    condition = Q(pk__in=[])
    for one in terms:
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
        condition = (condition | matches) if matches else ~Q(pk__in=[])
    return Conversation.objects.kept().filter(controller=controller).filter(condition)


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
    return conversation.captured_at + timedelta(days=settings.UNCOVERED_DECIDE_DAYS)


def matters_of(*, controllers: Collection[Controller]) -> QuerySet[Matter]:
    """The matters with `holds_active`, how many conversations each holds; open ones first."""
    return (
        Matter.objects.filter(controller__in=controllers)
        .select_related("controller")
        .annotate(holds_active=Count("holds", filter=Q(holds__lifted_at=None)))
        .order_by(F("closed_at").desc(nulls_first=True), "-opened_at")
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
