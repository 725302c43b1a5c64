"""A dispute in the sample contact centre, for which two conversations are held."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from accounts.models import Controller, User
from accounts.roles import Role
from config.samples.centre import LIFE, USERS
from recordings.keyring import Keyring
from recordings.models import Conversation
from retention.models import Matter
from retention.operations.holds import add_handler, open_matter, place_hold

CODE = "oikaisu-1"
NAME = "Korvauspäätöksen oikaisupyyntö"
REASON = "Asiakas on pyytänyt korvauspäätöksen oikaisua; puhelut säilytetään ratkaisuun asti."

REVIEW_DAYS = 90


@transaction.atomic
def hold_for_dispute(*, keyring: Keyring, now: datetime) -> int:
    """
    Open the matter, name its handler and hold a claims call and the one that would go first.

    A second time does nothing. Returns how many conversations are held by this.

    Raises what `retention.operations.holds.place_hold` raises.
    """
    controller = Controller.objects.get(slug=LIFE)
    if Matter.objects.filter(controller=controller, code=CODE).exists():
        return 0
    kept = Conversation.objects.kept().filter(controller=controller)
    claims = kept.filter(kind="call", segments__queue__slug="henki-korvaukset")
    chosen = [claims.order_by("-started_at").first(), kept.order_by("destroy_after").first()]
    officer = _person(Role.COMPLIANCE_OFFICER)
    matter = open_matter(
        controller=controller,
        code=CODE,
        name=NAME,
        reason=REASON,
        review_at=now + timedelta(days=REVIEW_DAYS),
        opened_by=officer,
        now=now,
    )
    add_handler(matter=matter, handler=_person(Role.CASE_HANDLER), added_by=officer, now=now)
    held = place_hold(
        matter=matter,
        conversation_ids=sorted({row.pk for row in chosen if row is not None}),
        placed_by=officer,
        keyring=keyring,
        now=now,
    )
    return len(held.placed)


def _person(role: Role) -> User:
    return User.objects.get(email=next(user.email for user in USERS if user.role == role))
