"""What is written to compliance officers: counts, dates and where to look, and no personal data."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, override

from retention.models import About, Notice

_PAGES = {About.CONVERSATION: "retention:uncovered", About.QUARANTINED: "recordings:quarantine"}


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter in the language of its reader."""

    subject: str
    text: str


def reminder(notice: Notice, *, language: str) -> Letter:
    """Say how many things wait for a decision, until when, and what becomes of them."""
    about = About(notice.about)
    with override(language):
        if notice.days_left:
            subject = ngettext(
                "Tallenne: decide within %(days)d day",
                "Tallenne: decide within %(days)d days",
                notice.days_left,
            ) % {"days": notice.days_left}
        else:
            subject = _("Tallenne: destroyed for want of a decision")
        return Letter(subject, "\n\n".join(_sentences(notice, about)) + "\n")


def _sentences(notice: Notice, about: About) -> list[str]:
    if about is About.CONVERSATION:
        counted = ngettext(
            "%(company)s: %(count)d conversation has no rule.",
            "%(company)s: %(count)d conversations have no rule.",
            notice.count,
        )
    else:
        counted = ngettext(
            "%(company)s: %(count)d item lies in quarantine.",
            "%(company)s: %(count)d items lie in quarantine.",
            notice.count,
        )
    zone = ZoneInfo(notice.controller.time_zone)
    first = date_format(notice.first_before.astimezone(zone), "SHORT_DATETIME_FORMAT")
    if notice.days_left:
        follows = _(
            "The first is destroyed after %(first)s unless somebody decides before, or it is held."
        )
    else:
        follows = _(
            "Nobody decided in time: since %(first)s they are being destroyed, except what is held."
        )
    return [
        counted % {"company": notice.controller.name, "count": notice.count},
        follows % {"first": first},
        settings.BASE_URL + reverse(_PAGES[about]),
    ]
