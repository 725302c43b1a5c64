"""Remembers when a purge last ran to its end, also when it found nothing to do."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from django.core.cache import cache
from redis.exceptions import RedisError

_KEY = "retention.purge.ran_at"


def beat(*, now: datetime) -> None:
    """Note that a purge has run; a broker that is down is no reason to fail."""
    with suppress(RedisError):
        cache.set(_KEY, now.isoformat(), timeout=None)


def last_ran_at() -> datetime | None:
    """When a purge last ran to its end, as far as the broker remembers."""
    with suppress(RedisError):
        noted = cache.get(_KEY)
        return datetime.fromisoformat(noted) if noted else None
    return None
