"""Pages about single conversations: why one is kept, and those that no rule covers."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import Min
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accounts.http import SignedInRequest
from accounts.permissions import needs_permission
from accounts.queries import actor_for
from recordings.models import Conversation
from recordings.paging import page_of
from retention import queries, wording
from retention.explanation import Explanation
from retention.forms import MomentForm
from retention.models import RuleVersion
from retention.operations.explain import NotThatTime
from retention.operations.explain import explain as explain_conversation
from retention.views.guarding import PAGE_SIZE, check_is_mine, cursor_of, mine, page_links

READ = "retention.read"


@require_safe
@needs_permission(READ)
def explain(request: SignedInRequest, conversation_id: UUID) -> HttpResponse:
    """Show why a conversation is kept, or what became of it; at the time told, if one is."""
    conversation = get_object_or_404(
        Conversation.objects.select_related("controller"), pk=conversation_id
    )
    check_is_mine(request, READ, conversation.controller)
    form = MomentForm(request.GET if "at" in request.GET else None)
    at = form.cleaned_data["at"] if form.is_valid() else None

    def explained(at: datetime | None) -> Explanation:
        return explain_conversation(
            conversation_id=conversation.pk,
            actor=actor_for(user=request.user, at=request.arrived_at),
            now=request.arrived_at,
            at=at,
        )

    try:
        explanation = explained(at)
    except NotThatTime as refused:
        form.add_error("at", str(refused))
        explanation = explained(None)
    else:
        # An address may say it more closely than the field can show.
        form = form if form.errors else MomentForm(initial={"at": at})
    return render(
        request,
        "retention/conversation_explain.html",
        {
            "conversation": conversation,
            "explanation": explanation,
            "form": form,
            "is_replayed": explanation.at != explanation.asked_at,
            "state_name": dict(Conversation.State.choices)[explanation.state],
            "bars": wording.bars(explanation),
            "whys": {one.purpose: wording.why(one.why) for one in explanation.purposes},
            "happens_next": wording.happens_next(explanation),
            "purpose_names": wording.purpose_names(),
            "legal_bases": dict(RuleVersion.LegalBasis.choices),
            "how_it_counts": {
                rule.version_id: wording.how_it_counts(rule)
                for purpose in explanation.purposes
                for rule in purpose.rules
            },
            "unmatched": [
                {"rule": one.rule, "reason": wording.why_not(one.reason)}
                for one in explanation.unmatched
            ],
            "can_hold": conversation.key_destroyed_at is None
            and request.user.has_perm("retention.hold", conversation.controller),
        },
        status=422 if form.errors else 200,
    )


@require_safe
@needs_permission(READ)
def uncovered(request: SignedInRequest) -> HttpResponse:
    """Show what no rule covers, newest first, with the day until when to decide."""
    controllers = mine(request, READ)
    rows = queries.uncovered(controllers=controllers)
    page = page_of(rows, field="captured_at", cursor=cursor_of(request), size=PAGE_SIZE)
    teams = queries.team_names([row.pk for row in page.rows])
    return render(
        request,
        "retention/uncovered_list.html",
        {
            "rows": [
                {
                    "conversation": row,
                    "decide_before": (before := queries.decide_before(row)),
                    "days_left": (before - request.arrived_at).days,
                    "team": teams.get(row.pk, ""),
                }
                for row in page.rows
            ],
            "dispositions": queries.dispositions_of(controllers=controllers),
            "count": rows.count(),
            "first_before": rows.order_by().aggregate(first=Min("destroy_after"))["first"],
            **page_links(page),
        },
    )
