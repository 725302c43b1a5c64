"""Which months of a log are to be delivered, and how that stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time

from django.utils import timezone
from django.utils.functional import Promise

from audit.models import Delivery, Event
from audit.receiving import REASONS
from audit.verification.checking import LONGEST_TRANSACTION


def bounds(month: date) -> tuple[datetime, datetime]:
    """Give when a calendar month begins and ends (excluded) in the installation's time zone."""
    zone = timezone.get_default_timezone()
    return (
        datetime.combine(month, time.min, tzinfo=zone),
        datetime.combine(_after(month), time.min, tzinfo=zone),
    )


def due_months(*, log: str, now: datetime) -> list[date]:
    """
    Give the months of a log, since its first event, that are over and not delivered, oldest first.

    A month is over an hour after its end: what happened in it may be committed a little later.
    """
    first = Event.objects.filter(log=log).order_by("happened_at").first()
    if first is None:
        return []
    delivered = set(
        Delivery.objects.filter(log=log, delivered_at__isnull=False).values_list("month", flat=True)
    )
    month = first.happened_at.astimezone(timezone.get_default_timezone()).date().replace(day=1)
    months = []
    while bounds(month)[1] + LONGEST_TRANSACTION <= now:
        if month not in delivered:
            months.append(month)
        month = _after(month)
    return months


@dataclass(frozen=True, slots=True)
class Standing:
    """How the deliveries of a log stand: None where there is nothing to say."""

    newest: Delivery | None
    failing: Delivery | None

    @property
    def reason(self) -> Promise | str:
        """What is wrong, and what to do."""
        return REASONS.get(self.failing.failure, "") if self.failing else ""


def standing(*, log: str) -> Standing:
    """Say how the deliveries of a log stand."""
    of_log = Delivery.objects.filter(log=log)
    return Standing(
        of_log.exclude(delivered_at=None).order_by("month").last(),
        of_log.filter(delivered_at=None).order_by("month").first(),
    )


def _after(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)
