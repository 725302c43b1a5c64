"""Releases sources and companies' rules from being only observed, once two persons agreed."""

from __future__ import annotations

from datetime import datetime

from accounts.models import Controller, Source


def release_source(*, source: Source, now: datetime) -> None:
    """Let purge runs destroy what the source captured; released once, it stays so."""
    Source.objects.filter(pk=source.pk, released_at=None).update(released_at=now)


def release_rules(*, controller: Controller, now: datetime) -> None:
    """Let purge runs destroy by the company's rules; released once, they stay so."""
    Controller.objects.filter(pk=controller.pk, rules_released_at=None).update(
        rules_released_at=now
    )
