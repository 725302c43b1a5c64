"""Makes the rows that tests of retention need: plain functions, named people."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType

from accounts.models import (
    Controller,
    Purpose,
    Queue,
    RoleAssignment,
    Source,
    Team,
    TeamPermission,
    Undertaking,
    UndertakingText,
    User,
)
from accounts.roles import Role
from recordings.keyring import Keyring, kek_name
from recordings.models import BusinessReference, Conversation, Segment
from recordings.operations.hashing import reference_hash
from retention.drafts import Draft
from retention.models import PurposeLimit

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR_AWAY = datetime(2099, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ENDED = datetime(2026, 11, 20, 12, 32, tzinfo=UTC)


def make_controller(name: str = "Vakka", *, released: bool = True) -> Controller:
    """A company whose rules are released, unless told."""
    return Controller.objects.create(
        name=name,
        slug=f"{name.lower()}-{uuid4().hex[:8]}",
        rules_released_at=LONG_AGO if released else None,
    )


def make_team(controller: Controller, name: str = "Claims") -> Team:
    """A team that the controller employs."""
    return Team.objects.create(
        name=name, slug=f"{name.lower()}-{uuid4().hex[:8]}", employer=controller
    )


def make_queue(
    controller: Controller, name: str = "Claims by phone", *, holds_health_data: bool = False
) -> Queue:
    """A queue of the controller."""
    return Queue.objects.create(
        controller=controller,
        name=name,
        slug=f"queue-{uuid4().hex[:8]}",
        holds_health_data=holds_health_data,
    )


def make_purpose(code: str) -> Purpose:
    """The purpose of that code, made if there is none."""
    purpose, _ = Purpose.objects.get_or_create(
        code=code, defaults={"name_fi": code, "name_sv": code, "name_en": code}
    )
    return purpose


def make_source(controller: Controller, *, released: bool = True) -> Source:
    """A phone system of the controller."""
    return Source.objects.create(
        slug=f"pbx-{uuid4().hex[:8]}",
        name="PBX",
        controller=controller,
        released_at=LONG_AGO if released else None,
    )


def make_user(
    full_name: str, role: Role | None = None, controller: Controller | None = None
) -> User:
    """A person with a current undertaking, and a role if told."""
    user = User.objects.create(
        email=f"{uuid4().hex}@example.invalid", full_name=full_name, is_active=True
    )
    if role is not None:
        RoleAssignment.objects.create(
            user=user, role=role, controller=controller, from_at=LONG_AGO, until_at=FAR_AWAY
        )
    text, _ = UndertakingText.objects.get_or_create(
        version=1,
        defaults={"text_fi": "…", "text_sv": "…", "text_en": "…", "in_force_from": LONG_AGO},
    )
    Undertaking.objects.create(user=user, text=text, from_at=LONG_AGO, until_at=FAR_AWAY)
    return user


def let_hear(user: User, team: Team, purpose: Purpose) -> TeamPermission:
    """Let the person hear the team for the purpose."""
    content_type = ContentType.objects.get_for_model(Team)
    permission, _ = Permission.objects.get_or_create(
        codename="hear_team", content_type=content_type, defaults={"name": "hear"}
    )
    return TeamPermission.objects.create(
        user=user,
        content_object=team,
        permission=permission,
        purpose=purpose,
        from_at=LONG_AGO,
        until_at=FAR_AWAY,
        reason="test",
    )


def make_conversation(
    source: Source,
    *,
    stretches: Sequence[tuple[Team | None, Queue | None]] = (),
    kind: str = "call",
    ended_at: datetime = ENDED,
    captured_at: datetime = NOW,
    keyring: Keyring | None = None,
    claims: Sequence[str] = (),
    contracts: Sequence[str] = (),
    **details: Any,
) -> Conversation:
    """A conversation as capture leaves it before it is covered."""
    conversation = Conversation(
        controller=source.controller,
        source=source,
        external_id=uuid4().hex,
        external_id_hash=os.urandom(32),
        content_hash=os.urandom(32),
        kind=kind,
        started_at=ended_at - timedelta(minutes=3),
        ended_at=ended_at,
        captured_at=captured_at,
        **{"duration_seconds": 180.0, **details},
    )
    conversation.kek_name = kek_name(controller_id=source.controller_id, month=None)
    conversation.wrapped_key = (
        keyring.wrap(
            kek_name=conversation.kek_name,
            content_key=bytes(32),
            context=conversation.pk.bytes,
        )
        if keyring
        else b"wrapped"
    )
    conversation.save(force_insert=True)
    for team, queue in stretches:
        Segment.objects.create(
            conversation=conversation,
            from_at=conversation.started_at,
            until_at=ended_at,
            team=team,
            queue=queue,
        )
    for kind, numbers in (("claim", claims), ("contract", contracts)):
        for number in numbers:
            assert keyring is not None, "numbers are kept as keyed hashes"
            BusinessReference.objects.create(
                conversation=conversation,
                kind=kind,
                reference_hash=reference_hash(
                    keyring=keyring,
                    controller_id=source.controller_id,
                    kind=kind,
                    value=number,
                ),
            )
    return conversation


def make_limit(
    controller: Controller, purpose: Purpose, *, floor: int | None, ceiling: int | None
) -> PurposeLimit:
    """What bounds the purpose, in months."""
    return PurposeLimit.objects.create(
        controller=controller,
        purpose=purpose,
        number=1,
        in_force_from=LONG_AGO,
        created_at=LONG_AGO,
        floor_months=floor,
        ceiling_months=ceiling,
        source="Act 1/2020",
    )


def draft(
    *,
    months: int = 6,
    days: int = 0,
    kinds: Sequence[str] = (),
    teams: Sequence[UUID] = (),
    queues: Sequence[UUID] = (),
    legal_basis: str = "6.1.f",
    article_9_condition: str = "",
    **details: Any,
) -> Draft:
    """What a rule version shall say."""
    return Draft(
        keep_months=months,
        keep_days=days,
        legal_basis=legal_basis,
        kinds=tuple(kinds),
        teams=tuple(teams),
        queues=tuple(queues),
        article_9_condition=article_9_condition,
        **details,
    )
