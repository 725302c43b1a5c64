"""Sets the sample contact centre up: companies, teams, people, what they may, and rules."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

from allauth.account.models import EmailAddress
from dateutil.relativedelta import relativedelta
from django.db import transaction

from accounts.models import (
    Controller,
    PrivacyNotice,
    Purpose,
    Queue,
    RoleAssignment,
    Source,
    Team,
    TeamPermission,
    UndertakingText,
    User,
)
from accounts.operations.roles import assign_role, grant_team
from accounts.roles import Role
from audit.events import Actor
from audit.operations import open_log
from config.samples import centre
from config.samples.centre import SampleRule, SampleUser
from retention.drafts import Draft
from retention.models import PurposeLimit, RetentionRule
from retention.operations.notices import record_notice
from retention.operations.set_up import put_limit_in_force, put_rule_in_force

ACTOR = Actor.system("sample_centre")
REASON = "Esimerkkikeskus"
_PASSWORD_BYTES = 9
_VALID_YEARS = 3


@dataclass(frozen=True, slots=True)
class Login:
    """One line of what is printed for the newcomer."""

    role: str
    email: str
    password: str
    who: str
    company: str


@transaction.atomic
def set_up(*, passwords: Mapping[str, str], now: datetime) -> list[Login]:
    """
    Make what is missing and leave what is there; returns one login per role.

    `passwords` are those given before, by e-mail address: they stay. Run as the owner of the
    tables, since no other role may make people.
    """
    _make_companies(now)
    logins = [_make_user(user, passwords, now) for user in centre.USERS]
    _make_agents()
    _make_rules(now)
    return [*logins, _make_operator(passwords)]


def _make_companies(now: datetime) -> None:
    open_log(log=None)
    for sample in centre.CONTROLLERS:
        controller, is_new = Controller.objects.get_or_create(
            slug=sample.slug, defaults={"name": sample.name, "rules_released_at": now}
        )
        if is_new:
            open_log(log=controller.pk)
    controllers = {controller.slug: controller for controller in Controller.objects.all()}
    for team in centre.TEAMS:
        Team.objects.get_or_create(
            slug=team.slug, defaults={"name": team.name, "employer": controllers[team.employer]}
        )
    for queue in centre.QUEUES:
        Queue.objects.get_or_create(
            slug=queue.slug,
            defaults={
                "name": queue.name,
                "controller": controllers[queue.controller],
                "holds_health_data": queue.holds_health_data,
            },
        )
    for source in centre.SOURCES:
        Source.objects.get_or_create(
            slug=source.slug,
            defaults={
                "name": source.name,
                "controller": controllers[source.controller],
                "released_at": now,
            },
        )
    for purpose in centre.PURPOSES:
        Purpose.objects.get_or_create(
            code=purpose.code,
            defaults={
                "name_fi": purpose.name_fi,
                "name_sv": purpose.name_sv,
                "name_en": purpose.name_en,
            },
        )
    texts = {f"text_{language}": text for language, text in centre.UNDERTAKING.items()}
    UndertakingText.objects.get_or_create(version=1, defaults={**texts, "in_force_from": now})


def _password_for(user: User, passwords: Mapping[str, str]) -> str:
    """The password she was given before, or a new one."""
    password = passwords.get(user.email)
    if password is None or not user.has_usable_password():
        password = password or secrets.token_urlsafe(_PASSWORD_BYTES)
        user.set_password(password)
        user.save(update_fields=["password"])
    EmailAddress.objects.get_or_create(
        user=user, email=user.email, defaults={"verified": True, "primary": True}
    )
    return password


def _make_user(sample: SampleUser, passwords: Mapping[str, str], now: datetime) -> Login:
    employer = Controller.objects.get(slug=sample.employer)
    user = User.objects.filter(email=sample.email).first()
    if user is None:
        user = User.objects.create_user(
            sample.email,
            full_name=sample.full_name,
            language=sample.language,
            employer=employer,
            login=sample.login,
        )
    until_at = now + relativedelta(years=_VALID_YEARS)
    if not RoleAssignment.objects.filter(user=user).exists():
        controller = Controller.objects.filter(slug=sample.controller).first()
        assign_role(
            user=user,
            role=Role(sample.role),
            controller=controller,
            until_at=until_at,
            actor=ACTOR,
            now=now,
        )
    if not TeamPermission.objects.filter(user=user).exists():
        for team, purpose in sample.hears:
            grant_team(
                user=user,
                team=Team.objects.get(slug=team),
                purpose=Purpose.objects.get(code=purpose),
                until_at=until_at,
                reason=REASON,
                actor=ACTOR,
                now=now,
            )
    return Login(
        role=sample.role,
        email=sample.email,
        password=_password_for(user, passwords),
        who=sample.full_name,
        company=employer.name,
    )


def _make_agents() -> None:
    """Those who talk with customers and do not sign in, so that conversations can name them."""
    for team in centre.TEAMS:
        employer = Controller.objects.get(slug=team.employer)
        for login, full_name in team.agents:
            if not User.objects.filter(login=login).exists():
                User.objects.create_user(
                    f"{login}@tallenne.example",
                    full_name=full_name,
                    login=login,
                    employer=employer,
                    language="sv" if team.slug.startswith("svensk") else "fi",
                )


def _make_operator(passwords: Mapping[str, str]) -> Login:
    user = User.objects.filter(email=centre.OPERATOR_EMAIL).first()
    if user is None:
        user = User.objects.create_superuser(
            centre.OPERATOR_EMAIL, full_name=centre.OPERATOR_NAME, language="en"
        )
    password = _password_for(user, passwords)
    return Login("operator", user.email, password, centre.OPERATOR_NAME, "")


def _make_rules(now: datetime) -> None:
    """What is in force from the beginning, limits first; afterwards it takes two persons."""
    for limit in centre.LIMITS:
        controller = Controller.objects.get(slug=limit.controller)
        purpose = Purpose.objects.get(code=limit.purpose)
        if not PurposeLimit.objects.filter(controller=controller, purpose=purpose).exists():
            put_limit_in_force(
                controller=controller,
                purpose=purpose,
                floor_months=limit.floor_months,
                ceiling_months=limit.ceiling_months,
                source=limit.source,
                now=now,
            )
    officer = User.objects.get(
        email=next(user.email for user in centre.USERS if user.role == Role.COMPLIANCE_OFFICER)
    )
    _record_notices(officer, now)
    for rule in centre.RULES:
        _make_rule(rule, now)


def _record_notices(officer: User, now: datetime) -> None:
    """So that a rule made later gives what is captured by then no more than customers were told."""
    months = {
        Purpose.objects.get(code=code): count for code, count in centre.NOTICED_MONTHS.items()
    }
    for company in centre.CONTROLLERS:
        controller = Controller.objects.get(slug=company.slug)
        if not PrivacyNotice.objects.filter(controller=controller, version=centre.NOTICE).exists():
            record_notice(
                controller=controller,
                version=centre.NOTICE,
                in_force_from=datetime.combine(
                    centre.NOTICE_FROM, time(), ZoneInfo(controller.time_zone)
                ),
                months=months,
                user=officer,
                now=now,
            )


def _make_rule(rule: SampleRule, now: datetime) -> None:
    controller = Controller.objects.get(slug=rule.controller)
    if RetentionRule.objects.filter(controller=controller, name=rule.name).exists():
        return
    put_rule_in_force(
        controller=controller,
        purpose=Purpose.objects.get(code=rule.purpose),
        name=rule.name,
        draft=Draft(
            keep_months=rule.keep_months,
            keep_days=rule.keep_days,
            legal_basis=rule.legal_basis,
            queues=tuple(Queue.objects.filter(slug__in=rule.queues).values_list("pk", flat=True)),
            article_9_condition=rule.article_9_condition,
        ),
        now=now,
    )
