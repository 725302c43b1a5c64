"""Finds out why a conversation is kept, until when, and who could reach it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Max, TextField
from django.db.models.expressions import RawSQL

from accounts.models import Purpose
from accounts.queries import names_by_reference
from audit.events import EventType
from audit.models import Event
from recordings.models import Conversation
from recordings.operations.uses import NewUse
from retention.contacts import contact_of
from retention.explanation import (
    Bar,
    CertificateLine,
    ExplainedHold,
    ExplainedPurpose,
    Explanation,
    Heard,
    MatchedRule,
    Next,
    UnmatchedRule,
    Why,
)
from retention.history import (
    Standing,
    holds_at,
    is_awaiting_a_hold,
    is_braked,
    standing_of,
)
from retention.matching import Decision, Match, mismatch
from retention.models import Destruction, Hold, RuleVersion
from retention.queries import RuleBook, decide_before, decisions_for, rule_book
from retention.reach import reach_of

# What counts as having reached it. Asking why it is kept does not: the answer would change itself.
REACHED = (EventType.CONVERSATION_VIEWED, EventType.DIALOG_PLAYED, EventType.CHAT_READ)


def explanation_of(
    conversation: Conversation, *, at: datetime, asked_at: datetime | None = None
) -> Explanation:
    """
    Explain the conversation as it stood at that time; `asked_at` is now, if that is another.

    Names of people, teams and rules are those of today.
    """
    standing = standing_of(conversation, at=at)
    book = rule_book(controller=conversation.controller, at=at, events_at=at)
    holds = list(holds_at(conversation, at=at).select_related("matter", "placed_by", "lifted_by"))
    active = [hold for hold in holds if hold.lifted_at is None or hold.lifted_at > at]
    is_held = bool(active) or is_awaiting_a_hold(conversation, at=at)
    barred_by = tuple(_bars(conversation, at, is_held=is_held))
    return Explanation(
        conversation=conversation.pk,
        at=at,
        asked_at=asked_at or at,
        controller=conversation.controller.slug,
        kind=conversation.kind,
        state=standing.state,
        started_at=conversation.started_at,
        ended_at=conversation.ended_at,
        captured_at=conversation.captured_at,
        notice=conversation.notice,
        destroy_after=standing.destroy_after,
        next=_next(standing, barred_by, at),
        barred_by=barred_by if standing.is_kept else (),
        decide_before=(
            standing.destroy_after or decide_before(conversation)
            if standing.is_kept and standing.is_uncovered
            else None
        ),
        hold_count=len(active),
        open_requests=conversation.open_requests,
        restricted_at=standing.restricted_at,
        closed_at=standing.closed_at,
        withdrawn_at=standing.withdrawn_at,
        key_destroyed_at=standing.key_destroyed_at,
        destroyed_at=standing.destroyed_at,
        purposes=_purposes(conversation, standing, book if standing.is_kept else None),
        unmatched=_unmatched(conversation, book) if standing.is_kept else (),
        holds=_holds(holds, at),
        reach=reach_of(conversation, at=at, standing=standing if asked_at else None),
        heard=_heard(conversation, at),
        certificate_line=_certificate_line(standing.destruction, at),
    )


def _bars(conversation: Conversation, at: datetime, *, is_held: bool) -> Iterator[Bar]:
    """What kept it from being destroyed at that time, what is asked first at the head."""
    if is_held:
        yield Bar.HOLD
    if conversation.open_requests:
        yield Bar.REQUEST
    for released_at, bar in (
        (conversation.source.released_at, Bar.SOURCE_OBSERVED),
        (conversation.controller.rules_released_at, Bar.COMPANY_OBSERVED),
    ):
        if released_at is None or released_at > at:
            yield bar
    if is_braked(at=at):
        yield Bar.BRAKE


def _next(standing: Standing, barred_by: Collection[Bar], at: datetime) -> Next:
    if standing.state == Conversation.State.DESTROYED:
        return Next.GONE
    if standing.state == Conversation.State.WITHDRAWN:
        return Next.GOING
    ends_at = standing.destroy_after
    if Bar.HOLD in barred_by:
        return Next.HELD
    if Bar.REQUEST in barred_by:
        return Next.REQUEST_OPEN
    if ends_at is None or (standing.is_uncovered and at < ends_at):
        return Next.UNCOVERED
    if Bar.SOURCE_OBSERVED in barred_by or Bar.COMPANY_OBSERVED in barred_by:
        return Next.OBSERVED
    if ends_at > at:
        return Next.ENDS
    return Next.BRAKED if Bar.BRAKE in barred_by else Next.DUE


def _purposes(
    conversation: Conversation, standing: Standing, book: RuleBook | None
) -> tuple[ExplainedPurpose, ...]:
    """What holds for each purpose; without a book only what was written while it was kept."""
    uses = standing.uses
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
    use: NewUse | None,
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
        why=_why(decision) if decision else None,
        rules=rules,
    )


def _why(decision: Decision) -> Why | None:
    """Why the version that decides does; those set aside could not."""
    able = [match for match in decision.matches if not match.lacks_article_9_condition]
    if decision.decides is None:
        return None
    if len(able) == 1:
        return Why.ONLY
    return Why.OLDER if able[0].until_at == able[1].until_at else Why.LONGEST


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


def _holds(holds: Iterable[Hold], at: datetime) -> tuple[ExplainedHold, ...]:
    return tuple(
        ExplainedHold(
            matter=hold.matter.name,
            matter_id=hold.matter_id,
            placed_at=hold.placed_at,
            placed_by=hold.placed_by.full_name if hold.placed_by else None,
            lifted_at=hold.lifted_at if is_lifted else None,
            lifted_by=hold.lifted_by.full_name if is_lifted and hold.lifted_by else None,
        )
        for hold in sorted(holds, key=lambda hold: (hold.placed_at, hold.pk))
        for is_lifted in [hold.lifted_at is not None and hold.lifted_at <= at]
    )


def _heard(conversation: Conversation, at: datetime) -> tuple[Heard, ...]:
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
            happened_at__lte=at,
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


def _certificate_line(line: Destruction | None, at: datetime) -> CertificateLine | None:
    if line is None:
        return None
    concluded_at = _by(line.concluded_at, at)
    needs_person = concluded_at is None and _by(line.needs_person_at, at) is not None
    certificate = line.certificate
    return CertificateLine(
        run=line.run_id,
        withdrawn_at=line.withdrawn_at,
        key_destroyed_at=_by(line.key_destroyed_at, at),
        # Written together, when it is concluded.
        deleted_at=line.deleted_at if concluded_at else None,
        confirmed_at=line.confirmed_at if concluded_at else None,
        concluded_at=concluded_at,
        method=line.method,
        objects=len(line.objects_destroyed) if concluded_at else 0,
        rule_versions=tuple(line.rule_versions),
        needs_person=needs_person,
        problem=line.problem if needs_person else "",
        certificate=(certificate.pk if certificate and _by(certificate.sealed_at, at) else None),
    )


def _by(time: datetime | None, at: datetime) -> datetime | None:
    """The time, if it had come by then."""
    return time if time is not None and time <= at else None
