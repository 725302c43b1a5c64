"""Makes what tests arrange: a contact centre, its people, and conversations captured there."""

from __future__ import annotations

import io
import math
import wave
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import cast
from uuid import UUID, uuid4

from accounts.models import (
    Controller,
    Purpose,
    Queue,
    Source,
    Team,
    Undertaking,
    UndertakingText,
    User,
)
from accounts.operations import accept_undertaking, assign_role, grant_team
from accounts.roles import Role
from audit import clock
from audit.events import Actor
from audit.operations import open_log
from recordings.formats.incoming import (
    IncomingConversation,
    IncomingFile,
    IncomingMessage,
    IncomingParty,
    IncomingSegment,
)
from recordings.keyring import FileKeyring
from recordings.models import Conversation, Dialog
from recordings.objectstore import ObjectStore
from recordings.operations.capture import capture
from recordings.operations.uses import NewUse, write_uses
from retention.drafts import Draft
from retention.models import Hold, Matter, RetentionRule
from retention.operations.holds import add_handler, open_matter, place_hold
from tests.harness.roles import Stage
from tests.retention.enacting import create_rule

ACTOR = Actor.system("sample_centre")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
PASSWORD = "kahvi-pannu-kuuma-42"
RATE = 8000


def company(name: str, *, is_released: bool = True) -> Controller:
    """A company with a log of its own; released from the brake unless told."""
    made = Controller.objects.create(
        name=name, slug=name.lower(), rules_released_at=LONG_AGO if is_released else None
    )
    open_log(log=made.pk)
    return made


def team(name: str, employer: Controller) -> Team:
    """A team."""
    return Team.objects.create(name=name, slug=name.lower(), employer=employer)


def source(name: str, controller: Controller, default_team: Team | None = None) -> Source:
    """A phone system, released from the brake."""
    return Source.objects.create(
        name=name,
        slug=name.lower(),
        controller=controller,
        default_team=default_team,
        released_at=LONG_AGO,
    )


def purpose(code: str) -> Purpose:
    """A purpose; called alike in all languages."""
    name = code.capitalize()
    return Purpose.objects.create(code=code, name_fi=name, name_sv=name, name_en=name)


def person(name: str, *, employer: Controller | None = None, language: str = "en") -> User:
    """Somebody with an account and no rights, whose password is PASSWORD."""
    from allauth.account.models import EmailAddress

    made = User.objects.create_user(
        f"{name.split()[0].lower()}@example.com",
        PASSWORD,
        full_name=name,
        employer=employer,
        language=language,
    )
    EmailAddress.objects.create(user=made, email=made.email, verified=True, primary=True)
    return made


def give_role(user: User, role: Role, controller: Controller | None) -> None:
    """Give a role for a year."""
    now = clock.now()
    assign_role(
        user=user, role=role, controller=controller, until_at=now + YEAR, actor=ACTOR, now=now
    )


def give_team(user: User, to: Team, for_purpose: Purpose, *, days: float = 365) -> None:
    """Let her hear the team's conversations."""
    now = clock.now()
    grant_team(
        user=user,
        team=to,
        purpose=for_purpose,
        until_at=now + timedelta(days=days),
        reason="She coaches the team.",
        actor=ACTOR,
        now=now,
    )


def undertake(user: User) -> Undertaking:
    """Have her accept the undertaking that is in force."""
    return accept_undertaking(user=user, version=1, now=clock.now())


def rule(
    controller: Controller,
    for_purpose: Purpose,
    officer: User,
    *,
    months: int = 6,
    days: int = 0,
    queues: Sequence[Queue] = (),
) -> RetentionRule:
    """A rule for all conversations of a company, or those of queues."""
    version = create_rule(
        controller=controller,
        purpose=for_purpose,
        name=f"{for_purpose.code} {months} {days}",
        draft=Draft(
            keep_months=months,
            keep_days=days,
            legal_basis="6.1.f",
            queues=tuple(queue.pk for queue in queues),
        ),
        user=officer,
        now=clock.now(),
    )
    return version.rule


@dataclass(slots=True)
class Centre:
    """
    Two companies of one group, their teams, and the people who may and may not.

    Alice coaches Claims at Vakka; Bob leads it; Charlie coaches Funds at Onni, another company,
    and is refused everything of Vakka. Dora coaches Sales at Vakka. Olga is compliance officer of
    both, Casper handles matters of Vakka, Aune audits, Sulo is superuser with every flag set.
    """

    stage: Stage
    vakka: Controller
    onni: Controller
    claims: Team
    sales: Team
    funds: Team
    pbx: Source
    onni_pbx: Source
    coaching: Purpose
    matter: Purpose
    alice: User
    bob: User
    charlie: User
    dora: User
    olga: User
    casper: User
    aune: User
    sulo: User

    def person(self, name: str) -> User:
        """Give somebody by her first name, in lower case."""
        return cast(User, getattr(self, name))

    def store(self) -> ObjectStore:
        """Give the store as the role acted as may use it."""
        return ObjectStore.for_content()

    def keyring(self) -> FileKeyring:
        """Give the keyring of this test."""
        return FileKeyring(self.stage.keys)

    def call(
        self,
        *,
        of: Team | None = None,
        by: Source | None = None,
        ended_at: datetime | None = None,
        seconds: float = 2.0,
        body: bytes | None = None,
        external_id: str | None = None,
        customer: IncomingParty | None = None,
    ) -> Conversation:
        """Capture a call that Claims has served, unless told; it ended an hour ago."""
        ended = ended_at or clock.now() - timedelta(hours=1)
        began = ended - timedelta(seconds=seconds)
        sound = body if body is not None else tones(seconds)
        return self.capture(
            IncomingConversation(
                external_id=external_id or f"call-{uuid4()}",
                kind="call",
                direction="inbound",
                started_at=began,
                ended_at=ended,
                language="fi",
                parties=(AGENT, customer or CUSTOMER),
                segments=(IncomingSegment(began, ended, (of or self.claims).slug, None, 0),),
                files=(
                    IncomingFile(
                        path=None,
                        body=sound,
                        name="call.wav",
                        started_at=began,
                        mediatype="audio/wav",
                        channel_roles=("agent", "customer"),
                    ),
                ),
            ),
            by=by,
        )

    def chat(
        self,
        *texts: str,
        of: Team | None = None,
        by: Source | None = None,
        ended_at: datetime | None = None,
        external_id: str | None = None,
    ) -> Conversation:
        """Capture a chat of these messages, the customer's first; it ended an hour ago."""
        ended = ended_at or clock.now() - timedelta(hours=1)
        said = texts or ("Hei, onko korvaukseni maksettu?", "On, se lähti tänään.")
        began = ended - timedelta(minutes=len(said))
        return self.capture(
            IncomingConversation(
                external_id=external_id or f"chat-{uuid4()}",
                kind="chat",
                started_at=began,
                ended_at=ended,
                language="fi",
                parties=(AGENT, CUSTOMER),
                segments=(IncomingSegment(began, ended, (of or self.claims).slug, None, 0),),
                messages=tuple(
                    IncomingMessage(
                        at=began + timedelta(seconds=20 * number), party=1 - number % 2, text=text
                    )
                    for number, text in enumerate(said)
                ),
            ),
            by=by,
        )

    def capture(self, incoming: IncomingConversation, *, by: Source | None = None) -> Conversation:
        """Take a conversation in, as the work process does."""
        with self.stage.acting_as("work"):
            done = capture(
                incoming=incoming,
                source=Source.objects.select_related("controller").get(pk=(by or self.pbx).pk),
                store=ObjectStore.for_content(),
                keyring=self.keyring(),
                now=clock.now(),
            )
        return Conversation.objects.get(pk=done.conversation_id)

    def end(self, conversation: Conversation, *, at: datetime) -> datetime:
        """Let the conversation's use for coaching, and with it everything, end at that time."""
        with self.stage.acting_as("work"):
            use = conversation.permitted_uses.get(purpose=self.coaching, only_for=None)
            write_uses(
                conversation=conversation,
                uses=[
                    NewUse(
                        purpose=self.coaching.pk,
                        from_at=min(conversation.ended_at, at - timedelta(seconds=1)),
                        until_at=at,
                        authority=use.authority,
                    )
                ],
                now=clock.now(),
                keyring=self.keyring(),
            )
        conversation.refresh_from_db()
        return at

    def matter_of(self, *conversations: Conversation, handler: User | None = None) -> Matter:
        """Open a matter that Casper handles, and hold the conversations for it."""
        with self.stage.acting_as("web"):
            now = clock.now()
            opened = open_matter(
                controller=self.vakka,
                code=f"case-{uuid4().hex[:8]}",
                name="A dispute",
                reason="The customer disputes what was agreed.",
                review_at=now + timedelta(days=180),
                opened_by=self.olga,
                now=now,
            )
            add_handler(matter=opened, handler=handler or self.casper, added_by=self.olga, now=now)
            place_hold(
                matter=opened,
                conversation_ids=[one.pk for one in conversations],
                placed_by=self.olga,
                keyring=self.keyring(),
                now=clock.now(),
            )
        assert Hold.objects.filter(matter=opened).count() == len(conversations)
        return opened


AGENT = IncomingParty(role="agent", name="Aino Agentti", login="aino.agentti")
CUSTOMER = IncomingParty(
    role="customer", name="Outi Olematon", identifiers=(("tel", "+358900001001"),)
)


def centre(stage: Stage) -> Centre:
    """Build the contact centre, as the owner."""
    vakka, onni = company("Vakka"), company("Onni")
    claims, sales, funds = team("Claims", vakka), team("Sales", vakka), team("Funds", onni)
    coaching, matter = purpose("coaching"), purpose("matter")
    text = "I keep secret what I hear."
    UndertakingText.objects.create(
        version=1, text_fi=text, text_sv=text, text_en=text, in_force_from=LONG_AGO
    )
    olga = person("Olga Officer", employer=vakka)
    give_role(olga, Role.COMPLIANCE_OFFICER, None)
    for controller in (vakka, onni):
        rule(controller, coaching, olga)
    return Centre(
        stage=stage,
        vakka=vakka,
        onni=onni,
        claims=claims,
        sales=sales,
        funds=funds,
        pbx=source("Pbx", vakka),
        onni_pbx=source("OnniPbx", onni),
        coaching=coaching,
        matter=matter,
        alice=_coach("Alice Aalto", claims, coaching),
        bob=_coach("Bob Berg", claims, coaching, role=Role.LEAD),
        charlie=_coach("Charlie Chan", funds, coaching),
        dora=_coach("Dora Dahl", sales, coaching),
        olga=olga,
        casper=_with_role("Casper Case", Role.CASE_HANDLER, vakka),
        aune=_with_role("Aune Auditor", Role.AUDITOR, None),
        sulo=User.objects.create_superuser("sulo@example.com", full_name="Sulo Superuser"),
    )


def _coach(name: str, of: Team, for_purpose: Purpose, *, role: Role = Role.COACH) -> User:
    made = _with_role(name, role, of.employer)
    give_team(made, of, for_purpose)
    return made


def _with_role(name: str, role: Role, controller: Controller | None) -> User:
    """A person with one role who is bound to silence."""
    made = person(name, employer=controller)
    give_role(made, role, controller)
    undertake(made)
    return made


@cache
def tones(seconds: float, *, rate: int = RATE) -> bytes:
    """A WAV file: the agent's tone on the left, the customer's a fifth higher on the right."""
    samples = array("h")
    for number in range(round(seconds * rate)):
        for pitch in (220, 330):
            samples.append(round(9000 * math.sin(2 * math.pi * pitch * number / rate)))
    return wav(samples, rate=rate)


def wav(samples: array[int], *, rate: int = RATE, channels: int = 2) -> bytes:
    """Put interleaved 16-bit samples into a WAV file."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return out.getvalue()


def sound_of(conversation: Conversation) -> Dialog:
    """Give the conversation's first recording."""
    return conversation.dialogs.get(kind=Dialog.Kind.RECORDING, position=0)


def ids(conversations: Sequence[Conversation]) -> list[UUID]:
    """Give the conversations' ids."""
    return [one.pk for one in conversations]
