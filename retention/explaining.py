"""Finds out why a conversation is kept, until when, and who could reach it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Max, Q, TextField
from django.db.models.expressions import RawSQL

from accounts.models import Purpose, TeamPermission, User
from accounts.queries import names_by_reference
from audit.events import EventType
from audit.models import Event
from recordings.models import Conversation, PermittedUse
from retention.explanation import (
    CertificateLine,
    ExplainedHold,
    ExplainedPurpose,
    Explanation,
    Heard,
    MatchedRule,
    Next,
    Reach,
    UnmatchedRule,
)
from retention.holding import awaiting_their_holds
from retention.matching import Decision, Match, mismatch
from retention.models import Destruction, Hold, Matter, RuleVersion
from retention.queries import (
    RuleBook,
    contact_of,
    decide_before,
    decisions_for,
    rule_book,
)

# What counts as having reached it. Asking why it is kept does not: the answer would change itself.
REACHED = (EventType.CONVERSATION_VIEWED, EventType.DIALOG_PLAYED, EventType.CHAT_READ)


def explanation_of(conversation: Conversation, *, at: datetime) -> Explanation:
    """Explain the conversation as its rows stand, for that time."""
    is_kept = conversation.state == Conversation.State.KEPT
    book = rule_book(controller=conversation.controller, at=at, events_at=at)
    return Explanation(
        conversation=conversation.pk,
        at=at,
        controller=conversation.controller.slug,
        kind=conversation.kind,
        state=conversation.state,
        started_at=conversation.started_at,
        ended_at=conversation.ended_at,
        captured_at=conversation.captured_at,
        notice=conversation.notice,
        destroy_after=conversation.destroy_after,
        next=_next(conversation, at),
        decide_before=(
            decide_before(conversation) if is_kept and _is_uncovered(conversation) else None
        ),
        hold_count=conversation.hold_count,
        open_requests=conversation.open_requests,
        restricted_at=conversation.restricted_at,
        closed_at=conversation.closed_at,
        withdrawn_at=conversation.withdrawn_at,
        key_destroyed_at=conversation.key_destroyed_at,
        destroyed_at=conversation.destroyed_at,
        purposes=_purposes(conversation, book if is_kept else None),
        unmatched=_unmatched(conversation, book) if is_kept else (),
        holds=_holds(conversation),
        reach=reach_of(conversation, at=at),
        heard=_heard(conversation),
        certificate_line=_certificate_line(conversation),
    )


def reach_of(conversation: Conversation, *, at: datetime) -> tuple[Reach, ...]:
    """
    Who could reach the content at that time, by person and purpose.

    Team permissions and uses written for one person say whom to ask about; the access rule itself
    answers, person by person.
    """
    segments = conversation.segments.all()
    permissions = TeamPermission.objects.valid(at=at).filter(
        content_object__in=segments.values("team"), permission__codename="hear_team"
    )
    asked: dict[tuple[UUID, UUID], Reach] = {}
    for permission in permissions.select_related("user", "purpose", "content_object").order_by(
        "user__full_name", "user_id", "purpose__code", "until_at", "pk"
    ):
        user, purpose = permission.user, permission.purpose
        asked[user.pk, purpose.pk] = Reach(
            name=user.full_name,
            reference=user.reference,
            purpose=purpose.code,
            through="team",
            of=permission.content_object.name,
            until_at=permission.until_at,
        )
    uses = conversation.permitted_uses.filter(
        only_for__isnull=False, from_at__lte=at, until_at__gt=at
    )
    matters = Matter.objects.in_bulk(list(uses.values_list("authority", flat=True)))
    for use in uses.select_related("only_for", "purpose").order_by(
        "only_for__full_name", "only_for_id", "until_at", "pk"
    ):
        handler, matter = use.only_for, matters.get(use.authority)
        if handler is not None and matter is not None:
            asked[handler.pk, use.purpose_id] = Reach(
                name=handler.full_name,
                reference=handler.reference,
                purpose=use.purpose.code,
                through="matter",
                of=matter.name,
                until_at=None,
            )
    users = User.objects.in_bulk([user for user, _purpose in asked])
    purposes = Purpose.objects.in_bulk([purpose for _user, purpose in asked])
    return tuple(
        reach
        for (user_id, purpose_id), reach in asked.items()
        if Conversation.objects.filter(pk=conversation.pk)
        .open_to(user=users[user_id], purpose=purposes[purpose_id], at=at)
        .exists()
    )


def _next(conversation: Conversation, at: datetime) -> Next:
    if conversation.state == Conversation.State.DESTROYED:
        return Next.GONE
    if conversation.state == Conversation.State.WITHDRAWN:
        return Next.GOING
    ends_at = conversation.destroy_after
    released = (conversation.source.released_at, conversation.controller.rules_released_at)
    if conversation.hold_count or awaiting_their_holds(
        conversation_ids=[conversation.pk], controllers=[conversation.controller_id]
    ):
        return Next.HELD
    if conversation.open_requests:
        return Next.REQUEST_OPEN
    if ends_at is None or (_is_uncovered(conversation) and at < ends_at):
        return Next.UNCOVERED
    if any(since is None or since > at for since in released):
        return Next.OBSERVED
    return Next.DUE if ends_at <= at else Next.ENDS


def _is_uncovered(conversation: Conversation) -> bool:
    return conversation.uncovered_at is not None or conversation.destroy_after is None


def _purposes(conversation: Conversation, book: RuleBook | None) -> tuple[ExplainedPurpose, ...]:
    """What holds for each purpose; without a book only what was written while it was kept."""
    uses = {
        use.purpose_id: use
        for use in conversation.permitted_uses.filter(
            authority_kind=PermittedUse.AuthorityKind.RULE
        ).order_by("until_at", "pk")
    }
    decisions = {
        decision.purpose: decision
        for decision in (decisions_for(conversation, book=book) if book else ())
    }
    wanted = {use.authority for use in uses.values()} | {
        match.version for decision in decisions.values() for match in decision.matches
    }
    wanted |= {decision.excluded_by for decision in decisions.values() if decision.excluded_by}
    versions = RuleVersion.objects.select_related("rule").in_bulk(list(wanted))
    purposes = Purpose.objects.filter(pk__in=uses.keys() | decisions.keys()).order_by("code")
    return tuple(
        _explained(purpose, uses.get(purpose.pk), decisions.get(purpose.pk), versions)
        for purpose in purposes
    )


def _explained(
    purpose: Purpose,
    use: PermittedUse | None,
    decision: Decision | None,
    versions: dict[UUID, RuleVersion],
) -> ExplainedPurpose:
    if decision is not None:
        rules = tuple(
            _rule(versions[match.version], match, decides=match.version == decision.decides)
            for match in decision.matches
        )
        if decision.excluded_by is not None:
            rules += (_rule(versions[decision.excluded_by]),)
    elif use is not None and use.authority in versions:
        rules = (replace(_rule(versions[use.authority], decides=True), until_at=use.until_at),)
    else:
        rules = ()
    return ExplainedPurpose(
        purpose=purpose.code,
        from_at=use.from_at if use else None,
        until_at=use.until_at if use else None,
        computed_until_at=decision.until_at if decision else None,
        floor_at=decision.floor_at if decision else None,
        ceiling_at=decision.ceiling_at if decision else None,
        bounded_by=decision.bounded_by if decision else None,
        rules=rules,
    )


def _rule(
    version: RuleVersion, match: Match | None = None, *, decides: bool = False
) -> MatchedRule:
    return MatchedRule(
        rule=version.rule.name,
        rule_id=version.rule_id,
        version=version.number,
        version_id=version.pk,
        legal_basis=version.legal_basis,
        statute=version.statute,
        keep_months=version.keep_months,
        keep_days=version.keep_days,
        trigger=version.trigger,
        counted_from=match.counted_from if match else None,
        cap_at=match.cap_at if match else None,
        until_at=match.until_at if match else None,
        not_until=match.not_until if match else None,
        decides=decides,
        lacks_article_9_condition=match.lacks_article_9_condition if match else False,
        excludes=version.is_exclusion,
    )


def _unmatched(conversation: Conversation, book: RuleBook) -> tuple[UnmatchedRule, ...]:
    contact = contact_of(conversation, book=book)
    reasons = {
        terms.version: reason
        for terms in book.terms
        if (reason := mismatch(terms, contact)) is not None
    }
    versions = RuleVersion.objects.filter(pk__in=reasons).select_related("rule")
    return tuple(
        UnmatchedRule(version.rule.name, version.number, reasons[version.pk])
        for version in versions.order_by("rule__name")
    )


def _holds(conversation: Conversation) -> tuple[ExplainedHold, ...]:
    rows = Hold.objects.filter(conversation=conversation).select_related(
        "matter", "placed_by", "lifted_by"
    )
    return tuple(
        ExplainedHold(
            matter=hold.matter.name,
            matter_id=hold.matter_id,
            placed_at=hold.placed_at,
            placed_by=hold.placed_by.full_name if hold.placed_by else None,
            lifted_at=hold.lifted_at,
            lifted_by=hold.lifted_by.full_name if hold.lifted_by else None,
        )
        for hold in rows.order_by("placed_at", "pk")
    )


def _heard(conversation: Conversation) -> tuple[Heard, ...]:
    """
    Count per person how often the content was reached, as long as the log's term runs.

    A recording is heard in ranges, each an event of its own: those of one play count once.
    """
    # The text of the body is canonical JSON; `play` is the same for the ranges of one listening.
    listening = RawSQL(
        "coalesce(body::jsonb -> 'x' ->> 'play', event_id::text)", [], output_field=TextField()
    )
    rows = (
        Event.objects.filter(
            log=str(conversation.controller_id),
            about_conversation=True,
            conversation=conversation.pk,
            event_type__in=[event_type.value for event_type in REACHED],
            outcome="allow",
        )
        .annotate(listening=listening)
        .values("actor")
        .annotate(times=Count("listening", distinct=True), last_at=Max("happened_at"))
        .order_by("-last_at", "actor")
    )
    found = list(rows)
    names = names_by_reference(row["actor"] for row in found)
    return tuple(
        Heard(names.get(row["actor"], row["actor"]), row["actor"], row["times"], row["last_at"])
        for row in found
    )


def _certificate_line(conversation: Conversation) -> CertificateLine | None:
    lines = Destruction.objects.select_related("certificate")
    line = lines.filter(Q(conversation=conversation), recalled_at=None).first()
    if line is None:
        return None
    return CertificateLine(
        run=line.run_id,
        withdrawn_at=line.withdrawn_at,
        key_destroyed_at=line.key_destroyed_at,
        deleted_at=line.deleted_at,
        confirmed_at=line.confirmed_at,
        concluded_at=line.concluded_at,
        method=line.method,
        objects=len(line.objects_destroyed),
        rule_versions=tuple(line.rule_versions),
        needs_person=line.needs_person_at is not None,
        problem=line.problem,
        certificate=line.certificate.pk if line.certificate and line.certificate.seal else None,
    )
